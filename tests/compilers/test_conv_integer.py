"""ConvInteger: convolutions of images that are made codes as they come, in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.errors import UnsupportedOpError
from edgepress.targets import load_target
from edgepress.targets.compilers.tvm import compile_graph
from tests.compilers.running import compiled, random_inputs, reference


def dynamic(largest: int, group: int = 1, low: float = -128.0, **attrs: Any) -> onnx.ModelProto:
    """An fp32 image made codes by its own scale, convolved by whole numbers, and scaled back."""
    rng = np.random.default_rng(largest)
    stored = {
        "w": rng.integers(-largest, largest + 1, (40, 24 // group, 3, 3)).astype(np.int8),
        "axes": np.array([1, 2, 3]), "least": np.float32(1e-5), "levels": np.float32(128),
        "low": np.float32(low), "high": np.float32(127), "zero": np.uint8(128), "moved": np.float32(128),
        "step": rng.uniform(0.01, 0.02, (1, 40, 1, 1)).astype(np.float32),
        "bias": rng.standard_normal((1, 40, 1, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node(op, given, [made], **more)
        for op, given, made, more in (
            ("Abs", ["x"], "a", {}), ("ReduceMax", ["a", "axes"], "m", {}), ("Clip", ["m", "least"], "c", {}),
            ("Reciprocal", ["c"], "r", {}), ("Mul", ["r", "levels"], "s", {}), ("Mul", ["x", "s"], "t", {}),
            ("Round", ["t"], "n", {}), ("Clip", ["n", "low", "high"], "h", {}), ("Add", ["h", "moved"], "u", {}),
            ("Cast", ["u"], "codes", {"to": TensorProto.UINT8}),
            ("ConvInteger", ["codes", "w", "zero"], "i", {"group": group, **attrs}),
            ("Cast", ["i"], "f", {"to": TensorProto.FLOAT}), ("Div", ["step", "s"], "d", {}),
            ("Mul", ["f", "d"], "p", {}), ("Add", ["p", "bias"], "y", {}),
        )
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "dynamic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 24, 9, 7))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("largest", "group", "attrs"),
    [
        (1, 1, {"pads": [1] * 4}),
        (1, 4, {"strides": [2, 2]}),
        (127, 1, {"dilations": [2, 2], "pads": [2] * 4}),
    ],
)
def test_dynamic_convolutions_equal_onnx_runtime(
    largest: int, group: int, attrs: dict[str, Any], tmp_path: Path
) -> None:
    model = dynamic(largest, group, **attrs)
    kernels, native = compiled(model, tmp_path)
    for seed in range(3):
        inputs = random_inputs(kernels.inputs, seed)
        found, expected = native.run(inputs)["y"], reference(model, inputs)["y"]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    (layer,) = (layer for layer in kernels.layers if layer.op == "ConvInteger" and layer.macs)
    assert layer.integer and layer.kernel in ("tile_dot", "tile_int8")
    assert (layer.weight_bits is not None) == (largest == 1)


def test_codes_made_in_another_way_still_have_integer_sums(tmp_path: Path) -> None:
    model = dynamic(1, low=-127.0)
    cast = next(node for node in model.graph.node if node.output[0] == "codes")
    cast.CopyFrom(helper.make_node("QuantizeLinear", ["u", "one", "none"], ["codes"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "one"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.uint8), "none"))
    kernels, native = compiled(model, tmp_path)
    assert any(layer.integer and layer.macs for layer in kernels.layers)
    inputs = random_inputs(kernels.inputs, 1)
    np.testing.assert_allclose(native.run(inputs)["y"], reference(model, inputs)["y"], rtol=1e-6, atol=1e-6)


def test_weights_that_are_no_constant_are_refused_by_name(tmp_path: Path) -> None:
    model = dynamic(1)
    weight = next(each for each in model.graph.initializer if each.name == "w")
    model.graph.initializer.remove(weight)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.INT8, weight.dims))
    with pytest.raises(UnsupportedOpError, match="ConvInteger"):
        compile_graph(model, load_target("host"), tmp_path)
