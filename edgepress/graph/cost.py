"""What each layer of a graph costs: multiply-accumulates and bytes, for roofline estimates."""

from __future__ import annotations

import onnx

from edgepress.bundle.layers import KernelLayer
from edgepress.cost import LayerCost
from edgepress.graph.index import Index, attribute

_CONVOLVING = ("Conv", "QLinearConv", "ConvInteger")
_MULTIPLYING = ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")
MULTIPLYING = frozenset((*_CONVOLVING, *_MULTIPLYING, "DepthwiseConv", "ConvTranspose"))
"""Kinds of layer whose ``macs`` are multiply-adds."""

_ACTIVATIONS = ("Clip", "Relu", "HardSwish", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid")
_FREE = frozenset({"Reshape", "Flatten", "Identity", "Squeeze", "Unsqueeze", "Constant"})


def count(model: onnx.ModelProto) -> list[LayerCost]:
    """Cost of each node of a shape-inferred graph, in the graph's order.

    A quantised graph (QDQ) counts as its integer engine would run it: Q and DQ nodes around a layer cost
    nothing and the layer reads and writes the integers behind them. A Q or DQ that no integer layer absorbs
    is counted.
    """
    return [cost for cost in count_nodes(model) if cost is not None]


def count_nodes(model: onnx.ModelProto) -> list[LayerCost | None]:
    """What :func:`count` gives, with None in the place of a node that costs nothing: one item a node."""
    index = Index.of(model.graph)
    absorbed = _absorbed(index, model.graph)
    return [None if id(node) in absorbed else _cost(node, index) for node in model.graph.node]


def _cost(node: onnx.NodeProto, index: Index) -> LayerCost:
    inputs = [_stored(name, index) for name in node.input if name]
    outputs = [_written(name, index) for name in node.output if name]
    macs = _macs(node, index)
    free = node.op_type in _FREE
    parameters = sum(_bytes(name, index) for name in inputs if name in index.constants)
    activations = sum(_bytes(name, index) for name in inputs if name not in index.constants)
    activations += sum(_bytes(name, index) for name in outputs)
    pooled = node.op_type.endswith("Pool") or node.op_type.startswith("Reduce")
    basis = node.input[:1] if pooled else node.output
    operations = 0 if macs or free else sum(_elements(name, index) for name in basis if name)
    kind = index.types.get(inputs[0] if inputs else outputs[0], (1, None))[0]
    return LayerCost(
        node.name or node.output[0],
        "DepthwiseConv" if _depthwise(node, index) else node.op_type,
        macs or operations,
        parameters,
        0 if free else activations,
        kind in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8),
    )


def node_layers(model: onnx.ModelProto) -> list[KernelLayer]:
    """Cost of each node of a shape-inferred graph, as a bundle lists layers; ``kernel`` stays empty.

    A convolution also goes by the name of the activation behind it: ONNX Runtime names what it fuses so.
    """
    index = Index.of(model.graph)
    after = {}
    for node in model.graph.node:
        readers = index.readers.get(node.output[0], [])
        if node.op_type == "Conv" and len(readers) == 1 and readers[0].op_type in _ACTIVATIONS:
            after[node.name or node.output[0]] = readers[0].name or readers[0].output[0]
    layers = []
    for cost in count(model):
        macs = cost.macs if cost.op in MULTIPLYING else 0
        operations = 2 * macs or cost.macs
        layers.append(
            KernelLayer(
                cost.name, cost.op, "", (after[cost.name],) if cost.name in after else (), macs=macs,
                operations=operations, weight_bytes=cost.weight_bytes, activation_bytes=cost.activation_bytes,
                integer=cost.integer,
            )
        )  # fmt: skip
    return layers


def _depthwise(node: onnx.NodeProto, index: Index) -> bool:
    """Whether a convolution gives each channel its own filters."""
    weight = index.shape(node.input[1]) if node.op_type == "Conv" else None
    return weight is not None and bool(attribute(node, "group", 1) > 1 and weight[1] == 1)


def total_macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of one run of the whole graph."""
    index = Index.of(model.graph)
    return sum(_macs(node, index) for node in model.graph.node)


def _absorbed(index: Index, graph: onnx.GraphProto) -> set[int]:
    gone: set[int] = set()
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            readers = index.readers.get(node.output[0], [])
            if readers and all(_integer(reader, index) for reader in readers):
                gone.add(id(node))
        if node.op_type == "QuantizeLinear":
            maker = index.producer.get(node.input[0])
            if maker is not None and _integer(maker, index):
                gone.add(id(node))
    return gone


def _integer(node: onnx.NodeProto, index: Index) -> bool:
    """Whether a node stands between dequantised inputs and quantised outputs."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return False
    makers = [index.producer.get(name) for name in node.input if name and name not in index.constants]
    if not makers or any(maker is None or maker.op_type != "DequantizeLinear" for maker in makers):
        return False
    readers = [reader for name in node.output if name for reader in index.readers.get(name, [])]
    return bool(readers) and all(reader.op_type == "QuantizeLinear" for reader in readers)


def _stored(name: str, index: Index) -> str:
    """The tensor that holds the bytes: the integers behind a DequantizeLinear."""
    maker = index.producer.get(name)
    return str(maker.input[0]) if maker is not None and maker.op_type == "DequantizeLinear" else name


def _written(name: str, index: Index) -> str:
    readers = index.readers.get(name, [])
    if readers and all(reader.op_type == "QuantizeLinear" for reader in readers):
        return str(readers[0].output[0])
    return name


def _macs(node: onnx.NodeProto, index: Index) -> int:
    if node.op_type in _CONVOLVING:
        weight = index.shape(node.input[3 if node.op_type == "QLinearConv" else 1]) or ()
        per_output = _product(weight[1:]) if weight else 0
        return _elements(node.output[0], index) * per_output
    if node.op_type == "ConvTranspose":
        weight = index.shape(node.input[1]) or ()
        return _elements(node.input[0], index) * _product(weight[1:]) if weight else 0
    if node.op_type in _MULTIPLYING:
        shape = index.shape(node.input[0])
        if not shape:
            return 0
        depth = shape[0] if node.op_type == "Gemm" and attribute(node, "transA", 0) else shape[-1]
        return _elements(node.output[0], index) * depth
    return 0


def _product(extents: tuple[int, ...]) -> int:
    total = 1
    for extent in extents:
        total *= extent
    return total


def _elements(name: str, index: Index) -> int:
    shape = index.shape(name)
    return 0 if shape is None else _product(shape)


def _bytes(name: str, index: Index) -> int:
    kind = index.types.get(name, (0, None))[0]
    if kind in (0, onnx.TensorProto.STRING):
        return 0
    return _elements(name, index) * int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)
