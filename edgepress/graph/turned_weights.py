"""Transpose of dequantised weights worked out: the integers are transposed instead, and their axis goes with them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of, put_constant, replace_nodes
from edgepress.graph.limits import OLDEST_OPSET, opset_of


def turn_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace each DequantizeLinear of a constant matrix, where Transpose alone reads it, by that of the other matrix.

    Exporters write linear layers so; runtimes look for weights right behind their DequantizeLinear.
    """
    index = Index.of(model.graph)
    made: dict[str, onnx.NodeProto] = {}
    constants: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        held = index.producer.get(node.input[0]) if node.op_type == "Transpose" else None
        if held is None or held.op_type != "DequantizeLinear" or held.output[0] in index.outputs:
            continue
        weight, scale = index.value(held.input[0]), index.value(held.input[1])
        if weight is None or scale is None or weight.ndim != 2 or attribute(held, "block_size", 0):
            continue
        if attribute(node, "perm", [1, 0]) != [1, 0] or len(index.readers[held.output[0]]) != 1:
            continue
        name = f"{held.input[0]}.turned"
        constants[name] = np.ascontiguousarray(weight.T)
        turned = onnx.NodeProto()
        turned.CopyFrom(held)
        turned.input[0], turned.output[0] = name, node.output[0]
        if scale.ndim and opset_of(model) >= OLDEST_OPSET:  # before, there is no axis
            kept = [item for item in held.attribute if item.name != "axis"]
            axis = helper.make_attribute("axis", 1 - attribute(held, "axis", 1) % 2)
            del turned.attribute[:]
            turned.attribute.extend([*kept, axis])
        made[node.output[0]] = turned
    if not made:
        return model
    new = copy_of(model)
    for name, value in constants.items():
        put_constant(new.graph, name, value)
    replace_nodes(new.graph, [made.get(node.output[0], node) for node in new.graph.node])
    return remove_dead_ends(new)
