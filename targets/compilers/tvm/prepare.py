"""The graph made ready: shapes known, constants folded, batch normalisation gone."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from edgepress.errors import SourceError
from edgepress.graph.ternary_storage import unpack_ternary
from edgepress.targets.compilers.tvm.graph_editor import attributes
from edgepress.targets.compilers.tvm.origin import mark


def prepare(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with static shapes inferred and constants as initializers.

    Raises:
        SourceError: an input has an extent that is not known at build time, or the graph is no graph.
    """
    done = onnx.ModelProto()
    done.CopyFrom(model)
    weights = {tensor.name for tensor in done.graph.initializer}
    inputs = [item for item in done.graph.input if item.name not in weights]
    del done.graph.input[:]
    done.graph.input.extend(inputs)
    for item in inputs:
        dims = item.type.tensor_type.shape.dim
        if not item.type.tensor_type.HasField("shape") or any(not d.HasField("dim_value") for d in dims):
            raise SourceError(
                f"the input {item.name!r} has an extent that is not known at build time; "
                f"give its shape with --input {item.name}:1x3x224x224"
            )
    _constants_to_initializers(done.graph)
    done = unpack_ternary(done)
    mark(done.graph)
    _fold_batch_norm(done.graph)
    try:
        return onnx.shape_inference.infer_shapes(done, data_prop=True)
    except Exception as error:
        raise SourceError(
            f"the graph's shapes do not fit together: {str(error).splitlines()[0]}; export it again"
        ) from error


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    for node in graph.node:
        attrs = {attr.name: attr for attr in node.attribute}
        if node.op_type == "Constant" and "value" in attrs:
            tensor = onnx.TensorProto()
            tensor.CopyFrom(attrs["value"].t)
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        elif node.op_type == "Constant" and (
            {"value_float", "value_int", "value_floats", "value_ints"} & set(attrs)
        ):
            value = onnx.helper.get_attribute_value(node.attribute[0])
            floats = "float" in node.attribute[0].name
            array = np.array(value, np.float32 if floats else np.int64)
            graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        else:
            kept.append(node)
    if len(kept) != len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


def _fold_batch_norm(graph: onnx.GraphProto) -> None:
    """``Conv`` followed by ``BatchNormalization`` alone becomes one ``Conv``."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    for item in graph.output:
        readers[item.name] = readers.get(item.name, 0) + 1
    makers = {node.output[0]: node for node in graph.node}
    gone = []
    for node in graph.node:
        if node.op_type != "BatchNormalization" or len([o for o in node.output if o]) > 1:
            continue
        conv = makers.get(node.input[0])
        if conv is None or conv.op_type != "Conv" or readers[node.input[0]] != 1:
            continue
        names = [conv.input[1], *conv.input[2:3], *node.input[1:5]]
        if any(name not in constants for name in names if name):
            continue
        weight = numpy_helper.to_array(constants[conv.input[1]]).astype(np.float64)
        scale, shift, mean, var = (
            numpy_helper.to_array(constants[n]).astype(np.float64) for n in node.input[1:5]
        )
        bias = (
            numpy_helper.to_array(constants[conv.input[2]]) if len(conv.input) > 2 and conv.input[2] else 0.0
        )
        factor = scale / np.sqrt(var + attributes(node).get("epsilon", 1e-5))
        new = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
        stem = node.output[0]
        graph.initializer.append(numpy_helper.from_array(new, f"{stem}__w"))
        graph.initializer.append(
            numpy_helper.from_array(((bias - mean) * factor + shift).astype(np.float32), f"{stem}__b")
        )
        del conv.input[1:]
        conv.input.extend([f"{stem}__w", f"{stem}__b"])
        conv.output[0] = stem
        gone.append(node)
    for node in gone:
        graph.node.remove(node)
