"""Instructions for each multiply-add, kernel by kernel, on emulated 64-bit Arm processors: bounds that hold.

A kernel's own layer is counted, padding and layout apart; each bound is a few per cent above what it takes.
"""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.bundle.layers import KernelLayer
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph

BOARDS = {"fp32": "rpi4", "int8": "rpi4", "int8 with dot product": "rpi5"}


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
    most: tuple[float, float, float]  # in the order of BOARDS

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return (1, self.given, self.size, self.size) if self.size else (1, self.given)


LAYERS = [
    Layer("pointwise", 96, 96, 14, 1, 1, 1, (0.31, 0.30, 0.115)),
    Layer("pointwise-of-few", 16, 96, 28, 1, 1, 1, (0.345, 0.51, 0.33)),
    Layer("depthwise-3x3", 64, 64, 28, 3, 1, 64, (0.44, 0.76, 0.64)),
    Layer("depthwise-3x3-stride-2", 64, 64, 28, 3, 2, 64, (0.54, 0.85, 0.77)),
    Layer("depthwise-5x5", 64, 64, 28, 5, 1, 64, (0.38, 0.555, 0.44)),
    Layer("first-convolution", 3, 32, 64, 3, 2, 1, (0.34, 0.735, 0.28)),
    Layer("dense-3x3", 64, 64, 14, 3, 1, 1, (0.31, 0.28, 0.09)),
    Layer("matrix-vector", 256, 256, 0, 1, 1, 1, (0.44, 0.335, 0.135)),
]


def _nodes(layer: Layer, kind: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """A layer by itself, between integers as a QDQ export writes it where ``kind`` names their type."""
    rng, own = np.random.default_rng(1), layer.name
    weight = rng.standard_normal(
        [layer.made, layer.given // layer.group] + [layer.window] * (2 if layer.size else 0)
    )
    weight = (weight / np.sqrt(np.prod(weight.shape[1:]))).astype(np.float32)
    stored = {f"{own}.b": rng.standard_normal(layer.made).astype(np.float32)}
    given, result = (f"{own}.x", f"{own}.y") if not kind else (f"{own}.xd", f"{own}.f")
    names = [given, f"{own}.w", f"{own}.b"]
    if layer.size:
        made = helper.make_node(
            "Conv", names, [result], own, group=layer.group, pads=[layer.window // 2] * 4,
            strides=[layer.stride] * 2, kernel_shape=[layer.window] * 2,
        )  # fmt: skip
    else:
        made = helper.make_node("Gemm", names, [result], own, transB=1)
    if not kind:
        return [made], {**stored, f"{own}.w": weight}
    scale = np.abs(weight.reshape(len(weight), -1)).max(1).astype(np.float32) / 127
    stored |= {
        f"{own}.wq": np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8),
        f"{own}.ws": scale,
        f"{own}.wz": np.zeros(len(scale), np.int8),
        f"{own}.s": np.array(0.03, np.float32),
        f"{own}.z": np.array(0 if kind == "int8" else 128, kind),
    }
    grid = [f"{own}.s", f"{own}.z"]
    return [
        helper.make_node("QuantizeLinear", [f"{own}.x", *grid], [f"{own}.xq"]),
        helper.make_node("DequantizeLinear", [f"{own}.xq", *grid], [f"{own}.xd"]),
        helper.make_node("DequantizeLinear", [f"{own}.wq", f"{own}.ws", f"{own}.wz"], [f"{own}.w"], axis=0),
        made,
        helper.make_node("QuantizeLinear", [f"{own}.f", *grid], [f"{own}.fq"]),
        helper.make_node("DequantizeLinear", [f"{own}.fq", *grid], [f"{own}.y"]),
    ], stored


@functools.cache
def counted(family: str) -> dict[str, tuple[KernelLayer, int]]:
    """Every layer of one library, with the instructions that it took."""
    board = load_target(BOARDS[family])
    parts = [_nodes(layer, "" if family == "fp32" else board.activations) for layer in LAYERS]

    def value(name: str, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [node for nodes, _ in parts for node in nodes],
        "layers",
        [value(f"{layer.name}.x", layer.shape) for layer in LAYERS],
        [value(f"{layer.name}.y", None) for layer in LAYERS],
        [numpy_helper.from_array(array, name) for _, stored in parts for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    rng = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        made = compile_graph(model, board, Path(folder))
        shared = link([made.model, made.kernels], board, Path(folder) / "lib", executable=False).shared
        assert shared is not None
        inputs = [rng.standard_normal(layer.shape).astype(np.float32) for layer in LAYERS]
        weights = made.weights.read_bytes()
        result = emulate_library(shared.read_bytes(), weights, inputs, board, layers=True)
    return {layer.name: (layer, count) for layer, (_, count) in zip(made.layers, result.layers, strict=True)}


@pytest.mark.parametrize("family", BOARDS)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_a_kernel_takes_few_instructions(layer: Layer, family: str) -> None:
    own, count = counted(family)[layer.name]
    assert own.macs and own.integer == (family != "fp32")
    assert count / own.macs <= layer.most[list(BOARDS).index(family)]
