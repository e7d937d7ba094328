"""Kernels of fp32 networks: depthwise at borders of every kind, tails of tiles, functions as polynomials."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from tests.compilers.running import Arrays, compiled, random_inputs, reference, worst

Case = tuple[Any, ...]

# batch, channels, image, window, strides, dilations, pads
DEPTHWISE = [
    (1, 32, (16, 30), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 24, (15, 29), (3, 3), (2, 2), (1, 1), (0, 0, 1, 1)),
    (2, 40, (7, 7), (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
    (1, 19, (5, 9), (5, 5), (2, 2), (1, 1), (2, 1, 1, 2)),
    (1, 5, (4, 4), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 72, (3, 2), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 33, (20, 41), (3, 3), (1, 1), (2, 3), (2, 3, 2, 3)),
    (1, 16, (9, 60), (3, 5), (3, 1), (1, 1), (0, 4, 0, 4)),
    (1, 64, (1, 17), (1, 7), (1, 2), (1, 1), (0, 3, 0, 3)),
    (1, 8, (80, 5), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
]
DENSE = [(1, 3, 17, 3, 2), (1, 24, 40, 1, 1), (2, 7, 5, 3, 1), (1, 16, 24, 1, 1), (1, 130, 88, 1, 1)]
FUNCTIONS = ("Exp", "Erf", "Tanh", "Sigmoid", "Gelu", "Softmax", "HardSwish")


def _model(nodes: list[onnx.NodeProto], shape: tuple[int, ...], weights: Arrays) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model)


def _depthwise(case: Case) -> onnx.ModelProto:
    batch, channels, image, window, strides, dilations, pads = case
    rng = np.random.default_rng(1)
    weights: Arrays = {
        "w": rng.standard_normal((channels, 1, *window)).astype(np.float32),
        "b": rng.standard_normal((channels,)).astype(np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], group=channels, strides=strides, dilations=dilations,
                         pads=pads),
        helper.make_node("Clip", ["c", "low", "high"], ["y"]),
    ]  # fmt: skip
    return _model(nodes, (batch, channels, *image), weights)


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_depthwise_pads_inside(case: Case, tmp_path: Path) -> None:
    model = _depthwise(case)
    kernels, native = compiled(model, tmp_path, threads=2)
    assert not [layer for layer in kernels.layers if layer.name.endswith(":pad")]
    inputs = random_inputs(kernels.inputs)
    assert worst(native.run(inputs), reference(model, inputs)) < 2e-6


@pytest.mark.parametrize("case", DENSE, ids=str)
def test_convolution_of_odd_sizes(case: tuple[int, ...], tmp_path: Path) -> None:
    batch, inner, outer, window, stride = case
    rng = np.random.default_rng(2)
    weights: Arrays = {
        "w": (rng.standard_normal((outer, inner, window, window)) / (window * inner**0.5)).astype(np.float32),
        "b": rng.standard_normal(outer).astype(np.float32),
    }
    around = [window // 2] * 4
    conv = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[stride, stride], pads=around)
    model = _model([conv], (batch, inner, 13, 11), weights)
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs)
    assert worst(native.run(inputs), reference(model, inputs)) < 2e-6


@pytest.mark.parametrize("board", ["rpi4", "x86-64-v3"])
def test_borders_and_tails_on_other_processors(board: str, tmp_path: Path) -> None:
    if board == "x86-64-v3" and platform.machine() != "x86_64":
        pytest.skip("x86-64 code needs such a processor: no emulator here knows AVX2")
    target = load_target(board)
    for number in (1, 3, 5, 6):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = _depthwise(DEPTHWISE[number])
        made = compile_graph(model, target, folder)
        shared = link([made.model, made.kernels], target, folder / "lib", executable=False).shared
        assert shared is not None
        inputs = random_inputs(made.inputs)
        if board == "rpi4":
            run = emulate_library(
                shared.read_bytes(), made.weights.read_bytes(), list(inputs.values()), target
            )
            found = {"y": np.asarray(run.outputs[0])}
        else:
            found = compiled(model, folder, board)[1].run(inputs)
        assert worst(found, reference(model, inputs)) < 2e-6


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_accurate(name: str, tmp_path: Path) -> None:
    model = _model([helper.make_node(name, ["x"], ["y"])], (4, 1000), {})
    _, native = compiled(model, tmp_path)
    inputs = {"x": np.linspace(-20, 20, 4000, dtype=np.float32).reshape(4, 1000)}
    found, expected = native.run(inputs)["y"], reference(model, inputs)["y"]
    scale = np.maximum(np.abs(expected), 1.0) if name in ("Exp", "Gelu") else 1.0
    assert np.max(np.abs(found - expected) / scale) < 1e-6


def test_exp_at_its_ends(tmp_path: Path) -> None:
    model = _model([helper.make_node("Exp", ["x"], ["y"])], (32,), {})
    _, native = compiled(model, tmp_path)
    x = np.zeros(32, np.float32)
    x[:6] = (np.inf, -np.inf, np.nan, 200.0, -200.0, 88.5)
    found = native.run({"x": x})["y"]
    assert found[0] == np.inf and found[1] == 0 and np.isnan(found[2])
    assert found[3] == np.inf and found[4] == 0
    assert found[5] == pytest.approx(np.exp(88.5), rel=1e-6)
    assert (found[6:] == 1).all()


# inputs, outputs, groups, image, window, stride, dilation
GROUPED = [
    (24, 40, 4, (9, 11), (3, 3), 1, 1),
    (32, 32, 8, (13, 7), (3, 3), 2, 1),
    (20, 20, 5, (7, 9), (3, 3), 1, 2),
    (36, 12, 6, (5, 9), (5, 3), 1, 1),
    (64, 128, 2, (8, 9), (3, 3), 1, 1),
    (24, 48, 24, (7, 9), (3, 3), 1, 1),
    (20, 80, 20, (6, 33), (3, 3), 2, 1),
    (9, 63, 9, (5, 5), (3, 3), 1, 1),
    (6, 36, 3, (5, 5), (1, 1), 1, 1),
    (33, 99, 3, (4, 6), (3, 3), 1, 1),
    (48, 96, 2, (10, 10), (3, 3), 1, 3),
]


def test_groups_of_any_size(tmp_path: Path) -> None:
    """Groups of one input and several outputs, small and large ones, none of them left to the plain schedule."""
    rng = np.random.default_rng(4)
    nodes, given, made, weights = [], [], [], []
    for n, (inputs, outputs, groups, image, window, stride, dilation) in enumerate(GROUPED):
        fan = inputs // groups * window[0] * window[1]
        taps = rng.standard_normal((outputs, inputs // groups, *window)) * fan**-0.5
        weights += [
            numpy_helper.from_array(taps.astype(np.float32), f"w{n}"),
            numpy_helper.from_array(rng.standard_normal(outputs).astype(np.float32), f"b{n}"),
        ]
        around = [extent // 2 * dilation for extent in window] * 2
        nodes += [
            helper.make_node("Conv", [f"x{n}", f"w{n}", f"b{n}"], [f"c{n}"], group=groups, pads=around,
                             strides=[stride] * 2, dilations=[dilation] * 2),
            helper.make_node("HardSwish", [f"c{n}"], [f"y{n}"]),
        ]  # fmt: skip
        out = [-(-extent // stride) for extent in image]
        given.append(helper.make_tensor_value_info(f"x{n}", TensorProto.FLOAT, (2, inputs, *image)))
        made.append(helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, (2, outputs, *out)))
    graph = helper.make_graph(nodes, "g", given, made, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    kernels, native = compiled(model, tmp_path, threads=2)
    assert sum(layer.kernel in ("tile", "depthwise") for layer in kernels.layers) == len(GROUPED)
    arrays = random_inputs(kernels.inputs)
    assert worst(native.run(arrays), reference(model, arrays)) < 2e-6


def test_small_groups_on_a_cortex_a72(tmp_path: Path) -> None:
    """Four channels a group, as in ResNeXt: instructions for each multiply-accumulate as those of dense layers."""
    target, rng = load_target("rpi4"), np.random.default_rng(5)
    weights: Arrays = {"w": (rng.standard_normal((64, 4, 3, 3)) / 6).astype(np.float32)}
    model = _model(
        [helper.make_node("Conv", ["x", "w"], ["y"], group=16, pads=[1] * 4)], (1, 64, 14, 14), weights
    )
    made = compile_graph(model, target, tmp_path)
    shared = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert shared is not None
    inputs = random_inputs(made.inputs)
    run = emulate_library(shared.read_bytes(), made.weights.read_bytes(), list(inputs.values()), target)
    assert worst({"y": np.asarray(run.outputs[0])}, reference(model, inputs)) < 2e-6
    assert run.instructions / made.macs < 0.5
