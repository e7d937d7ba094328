"""The float form of a quantised graph: what it computes but for the rounding, for engines and estimates in float."""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.errors import SourceError
from edgepress.graph.index import Index, attribute, copy_of, put_constant, replace_nodes
from edgepress.graph.tidy import tidy

_INTEGERS = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear")


def is_quantised(model: onnx.ModelProto) -> bool:
    """Whether a graph rounds activations."""
    return any(node.op_type in ("QuantizeLinear", *_INTEGERS) for node in model.graph.node)


def dequantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph without QuantizeLinear and DequantizeLinear; integer weights become the floats that they stand for.

    Where integers would saturate, floats are clipped: that is often all that is left of an activation.

    Raises:
        SourceError: it computes on integers by operators of their own.
    """
    other = next((node.op_type for node in model.graph.node if node.op_type in _INTEGERS), None)
    if other is not None:
        raise SourceError(
            f"the graph computes on integers ({other}), which has no float form; give the float model"
        )
    new = copy_of(model)
    index = Index.of(new.graph)
    same: dict[str, str] = {}  # a tensor that stands for another
    kept: list[onnx.NodeProto] = []
    for node in new.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
        if node.op_type == "DequantizeLinear" and node.input[0] in index.constants:
            put_constant(new.graph, node.output[0], _floats(node, index))
        elif node.op_type == "DequantizeLinear":
            same[node.output[0]] = node.input[0]
        elif node.op_type == "QuantizeLinear":
            same[node.output[0]] = _saturated(node, index, new.graph, kept)
        else:
            kept.append(node)
    for output in index.outputs:
        if output in same:
            kept.append(onnx.helper.make_node("Identity", [same[output]], [output], name=output))
    replace_nodes(new.graph, kept)
    return tidy(new)


def _saturated(node: onnx.NodeProto, index: Index, graph: onnx.GraphProto, kept: list[onnx.NodeProto]) -> str:
    """The tensor that stands for a quantised one: its source between the least and the greatest integer's values."""
    scale = index.value(node.input[1])
    zero = index.value(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros((), np.uint8)
    if scale is None or zero is None or scale.size != 1 or not np.issubdtype(zero.dtype, np.integer):
        raise SourceError(
            f"{node.name or node.output[0]} quantises activations by a step that is not one constant; give the float "
            "model"
        )
    name, limits = f"{node.input[0]}/Clip", np.iinfo(zero.dtype)
    if not any(name in other.output for other in kept):
        for end, integer in (("least", limits.min), ("most", limits.max)):
            value = (float(integer) - float(zero.reshape(-1)[0])) * float(scale.reshape(-1)[0])
            put_constant(graph, f"{name}.{end}", np.asarray(value, np.float32))
        kept.append(
            onnx.helper.make_node("Clip", [node.input[0], f"{name}.least", f"{name}.most"], [name], name)
        )
    return name


def _floats(node: onnx.NodeProto, index: Index) -> np.ndarray:
    value, scale = index.value(node.input[0]), index.value(node.input[1])
    zero = index.value(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if value is None or scale is None:
        raise SourceError(f"the weights of {node.name or node.output[0]} have a step that is no constant")
    shape = [1] * value.ndim
    if scale.ndim == 1 and value.ndim:
        shape[attribute(node, "axis", 1)] = scale.size
    centred = value.astype(np.float32) - (0 if zero is None else zero.astype(np.float32).reshape(shape))
    return np.asarray(centred * scale.astype(np.float32).reshape(shape), np.float32)
