"""Write means over whole planes as global pooling, which engines and quantisers know."""

from __future__ import annotations

import onnx

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of


def use_global_pooling(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn ``ReduceMean`` over all spatial axes of an N×C×… tensor, kept as extents of 1, into
    GlobalAveragePool."""
    new = copy_of(model)
    index = Index.of(new.graph)
    for node in new.graph.node:
        if node.op_type != "ReduceMean" or not attribute(node, "keepdims", 1):
            continue
        kind, shape = index.types.get(node.input[0], (0, None))
        axes = attribute(node, "axes")
        if axes is None and len(node.input) > 1:
            value = index.value(node.input[1])
            axes = None if value is None else value.tolist()
        if shape is None or len(shape) < 3 or axes is None or kind != onnx.TensorProto.FLOAT:
            continue
        if sorted(axis % len(shape) for axis in axes) != list(range(2, len(shape))):
            continue
        node.op_type = "GlobalAveragePool"
        del node.input[1:]
        del node.attribute[:]
    return remove_dead_ends(new)
