"""Drop activations that quantising does anyway: integers saturate where a Relu or a Clip would cut."""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.graph.index import Index, copy_of, replace_nodes

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Sub", "Mul"})


def drop_saturated(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove each Relu and Clip of a product whose readers are QuantizeLinear nodes that it does not change.

    Quantising is monotone: where the limits' own codes are the least and the greatest, or the limit is infinite,
    values beyond them become these codes in any case. Runtimes fuse a product with the QuantizeLinear right
    behind it.
    """
    new = copy_of(model)
    index = Index.of(new.graph)
    dropped: set[int] = set()
    for node in new.graph.node:
        limits = _limits(node, index)
        readers = index.readers.get(node.output[0], [])
        maker = index.producer.get(node.input[0]) if node.input else None
        if limits is None or not readers or node.output[0] in index.outputs or node.input[0] in index.outputs:
            continue
        if maker is None or maker.op_type not in _PRODUCTS or len(index.readers[node.input[0]]) != 1:
            continue
        if not all(_saturates(reader, limits, index) for reader in readers):
            continue
        for reader in readers:
            reader.input[0] = node.input[0]
        dropped.add(id(node))
    if dropped:
        replace_nodes(new.graph, [node for node in new.graph.node if id(node) not in dropped])
    return new


def _limits(node: onnx.NodeProto, index: Index) -> tuple[float, float] | None:
    if node.op_type == "Relu":
        return 0.0, float("inf")
    if node.op_type != "Clip" or node.attribute:  # before opset 11 limits are attributes
        return None
    limits = [float("-inf"), float("inf")]
    for place, name in enumerate(node.input[1:]):
        value = index.value(name) if name else None
        if name and (value is None or value.size != 1):
            return None
        if value is not None:
            limits[place] = float(value.reshape(()))
    return limits[0], limits[1]


def _saturates(node: onnx.NodeProto, limits: tuple[float, float], index: Index) -> bool:
    if node.op_type != "QuantizeLinear" or len(node.input) < 3:
        return False
    scale, zero = index.value(node.input[1]), index.value(node.input[2])
    if scale is None or zero is None or scale.size != 1 or zero.size != 1 or zero.dtype.kind not in "iu":
        return False
    kind, middle = np.iinfo(zero.dtype), int(zero.reshape(()))
    low, high = (
        limit if np.isinf(limit) else np.rint(np.float32(limit) / scale.reshape(())) + middle
        for limit in limits
    )
    return bool(low <= kind.min and high >= kind.max)
