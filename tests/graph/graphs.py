"""Small graphs that the tests of passes share, and how to run them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def build(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    x: Sequence[int] = (1, 3, 8, 8),
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
) -> onnx.ModelProto:
    """A model with the float input ``x``; the outputs' shapes are left to inference."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def results(model: onnx.ModelProto, seed: int = 0) -> list[np.ndarray]:
    """The model's outputs for seeded noise, unoptimised."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options)
    generator = np.random.default_rng(seed)
    feeds = {
        item.name: generator.standard_normal(item.shape).astype(np.float32) for item in session.get_inputs()
    }
    return [np.asarray(value) for value in session.run(None, feeds)]


def ops(model: onnx.ModelProto) -> list[str]:
    """Operators in order."""
    return [node.op_type for node in model.graph.node]
