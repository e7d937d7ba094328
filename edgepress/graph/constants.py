"""Compute at build time what does not depend on the inputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of, put_constant, replace_nodes, subgraphs

# Quantised weights stay as integers followed by DequantizeLinear; random nodes are no constants.
_KEEP = frozenset({
    "QuantizeLinear", "DequantizeLinear", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout",
})  # fmt: skip
# A constant that would grow the file by more than this stays computed on the device.
_LARGEST_GROWTH = 1 << 20


def fold_constants(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace nodes whose inputs are all constant by their values, computed with ONNX Runtime on the CPU.

    ``Constant`` nodes become initialisers. ``Shape`` of a tensor with a known shape is a constant too.
    """
    new = copy_of(model)
    graph = new.graph
    index = Index.of(graph)
    values: dict[str, np.ndarray] = {
        name: numpy_helper.to_array(item) for name, item in index.constants.items()
    }
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        result = _fold(node, values, index, new)
        if result is None:
            kept.append(node)
            continue
        for name, value in zip((name for name in node.output if name), result, strict=True):
            values[name] = value
            put_constant(graph, name, value)
    # An output that became constant still needs a node that makes it.
    made = {name for node in kept for name in node.output}
    for name in index.outputs:
        if name in values and name not in made and name in index.producer:
            tensor = numpy_helper.from_array(values[name], name)
            kept.append(onnx.helper.make_node("Constant", [], [name], name=f"{name}/Constant", value=tensor))
            for i, item in enumerate(graph.initializer):
                if item.name == name:
                    del graph.initializer[i]
                    break
    replace_nodes(graph, kept)
    return remove_dead_ends(new)


def _fold(
    node: onnx.NodeProto, values: dict[str, np.ndarray], index: Index, model: onnx.ModelProto
) -> list[np.ndarray] | None:
    if node.op_type in _KEEP or node.domain not in ("", "ai.onnx") or any(True for _ in subgraphs(node)):
        return None
    if node.op_type == "Constant":
        if any(name in index.outputs for name in node.output):
            return None
        tensor = attribute(node, "value")
        if tensor is not None:
            return [numpy_helper.to_array(tensor)]
    if node.op_type == "Shape":
        shape = index.shape(node.input[0])
        if shape is not None:
            start, end = attribute(node, "start", 0), attribute(node, "end", len(shape))
            return [np.array(shape[start:end], dtype=np.int64)]
    inputs = [name for name in node.input if name]
    if any(name not in values for name in inputs):
        return None
    result = run_nodes([node], {name: values[name] for name in inputs}, [n for n in node.output if n], model)
    if result is None:
        return None
    grown = sum(value.nbytes for value in result) - sum(values[name].nbytes for name in inputs)
    return None if grown > _LARGEST_GROWTH else result


def run_nodes(
    nodes: list[onnx.NodeProto], feeds: dict[str, np.ndarray], results: list[str], model: onnx.ModelProto
) -> list[np.ndarray] | None:
    """What some nodes give for given arrays, by ONNX Runtime without optimisation; None where it cannot.

    Args:
        nodes: in order.
        feeds: every array that they read from outside, by name.
        results: the names of the outputs that are wanted.
        model: whose operator sets the nodes belong to.
    """
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in results]
    inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in feeds.items()
    ]
    single = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "constant", inputs, outputs),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(
            single.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.asarray(value) for value in session.run(None, feeds)]
    except Exception:  # a node that ONNX Runtime cannot run alone is simply not folded
        return None
