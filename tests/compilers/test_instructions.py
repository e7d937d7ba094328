"""Instructions for each multiply-add, kernel by kernel, on emulated 64-bit Arm processors: bounds that hold.

A kernel's own layer is counted, padding and layout apart; each bound is a few per cent above what it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph

FAMILIES = ("fp32", "int8", "int8 with dot product")
_BOARDS = {"fp32": "rpi4", "int8": "rpi4", "int8 with dot product": "rpi5"}


@dataclass(frozen=True)
class Layer:
    """A convolution of ``given`` channels to ``made`` (a matrix product where ``size`` is 0), and its bounds."""

    name: str
    given: int
    made: int
    size: int
    window: int
    stride: int
    group: int
    most: tuple[float, float, float]  # of FAMILIES


LAYERS = [
    Layer("pointwise", 96, 96, 14, 1, 1, 1, (0.31, 0.30, 0.115)),
    Layer("pointwise, few inputs", 16, 96, 28, 1, 1, 1, (0.345, 0.51, 0.33)),
    Layer("depthwise 3x3", 64, 64, 28, 3, 1, 64, (0.44, 0.76, 0.64)),
    Layer("depthwise 3x3, stride 2", 64, 64, 28, 3, 2, 64, (0.54, 0.85, 0.77)),
    Layer("depthwise 5x5", 64, 64, 28, 5, 1, 64, (0.38, 0.555, 0.44)),
    Layer("first convolution", 3, 32, 64, 3, 2, 1, (0.34, 0.735, 0.28)),
    Layer("dense 3x3", 64, 64, 14, 3, 1, 1, (0.31, 0.28, 0.09)),
    Layer("matrix-vector", 256, 256, 0, 1, 1, 1, (0.44, 0.335, 0.135)),
]


def _graph(layer: Layer) -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    shape = (1, layer.given, layer.size, layer.size) if layer.size else (1, layer.given)
    weights = [layer.made, layer.given // layer.group] + [layer.window] * (2 if layer.size else 0)
    made = {
        "w": (rng.standard_normal(weights) / np.sqrt(np.prod(weights[1:]))).astype(np.float32),
        "b": rng.standard_normal(layer.made).astype(np.float32),
    }
    if layer.size:
        pads = [layer.window // 2] * 4
        node = helper.make_node(
            "Conv", ["x", "w", "b"], ["y"], "layer", group=layer.group, pads=pads,
            strides=[layer.stride] * 2, kernel_shape=[layer.window] * 2,
        )  # fmt: skip
    else:
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "layer", transB=1)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in made.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def _quantised(model: onnx.ModelProto, kind: str) -> onnx.ModelProto:
    """The model with its layer between integers, as a QDQ export writes it."""
    graph, stored = (
        model.graph,
        {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer},
    )
    scale = np.abs(stored["w"].reshape(len(stored["w"]), -1)).max(1).astype(np.float32) / 127
    eight = np.rint(stored["w"] / scale.reshape(-1, *[1] * (stored["w"].ndim - 1))).astype(np.int8)
    zero = np.zeros((), kind) if kind == "int8" else np.full((), 128, kind)
    made = {
        "xs": np.float32(0.02), "ys": np.float32(0.04), "z": zero, "wq": eight, "ws": scale,
        "wz": np.zeros(len(scale), np.int8), "b": stored["b"],
    }  # fmt: skip
    quantise = [
        helper.make_node("QuantizeLinear", ["x", "xs", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=0),
    ]
    layer = onnx.NodeProto()
    layer.CopyFrom(graph.node[0])
    layer.input[:] = ["xd", "wd", "b"]
    layer.output[:] = ["f"]
    after = [
        helper.make_node("QuantizeLinear", ["f", "ys", "z"], ["fq"]),
        helper.make_node("DequantizeLinear", ["fq", "ys", "z"], ["y"]),
    ]
    done = helper.make_graph(
        [*quantise, layer, *after], "g", list(graph.input), list(graph.output),
        [numpy_helper.from_array(np.asarray(value), name) for name, value in made.items()],
    )  # fmt: skip
    model = helper.make_model(done, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name.replace(" ", "-").replace(",", ""))
def test_a_kernel_takes_few_instructions(layer: Layer, family: str, tmp_path: Path) -> None:
    board = load_target(_BOARDS[family])
    model = _graph(layer)
    shape = (1, layer.given, layer.size, layer.size) if layer.size else (1, layer.given)
    if family != "fp32":
        model = _quantised(model, board.activations)
    made = compile_graph(model, board, tmp_path)
    shared = link([made.model, made.kernels], board, tmp_path / "lib", executable=False).shared
    assert shared is not None
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    result = emulate_library(shared.read_bytes(), made.weights.read_bytes(), [x], board, layers=True)
    counted = dict(result.layers)
    own = next(one for one in made.layers if one.name == "layer")
    assert own.macs and own.integer == (family != "fp32")
    found = counted["layer"] / own.macs
    assert found <= layer.most[FAMILIES.index(family)]
