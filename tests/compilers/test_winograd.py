"""Winograd's convolution: its matrices exactly, its kernels on odd shapes, where it is chosen, its rounding."""

from __future__ import annotations

import platform
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as some
from onnx import TensorProto, helper, numpy_helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import AotKernels, compile_graph, winograd
from tests.compilers.running import Arrays, compiled, random_inputs, reference, worst

SIZES = (2, 4)
# batch, inputs, outputs, image, pads
SHAPES = [
    (1, 16, 16, (8, 8), (1, 1, 1, 1)),
    (1, 20, 17, (5, 7), (1, 1, 1, 1)),
    (2, 33, 40, (9, 30), (1, 1, 1, 1)),
    (1, 16, 24, (13, 11), (0, 0, 0, 0)),
    (1, 32, 8, (8, 9), (2, 0, 1, 2)),
    (3, 7, 5, (3, 2), (1, 1, 1, 1)),
    (1, 64, 48, (1, 1), (1, 1, 1, 1)),
    (1, 40, 70, (21, 3), (0, 1, 2, 1)),
]
Shape = tuple[int, int, int, tuple[int, int], tuple[int, int, int, int]]


def _weights(*shapes: Shape) -> Arrays:
    rng = np.random.default_rng(0)
    weights: Arrays = {}
    for number, (_, inputs, outputs, _, _) in enumerate(shapes):
        drawn = rng.standard_normal((outputs, inputs, 3, 3)) * (9 * inputs) ** -0.5
        weights[f"w{number}"] = drawn.astype(np.float32)
        weights[f"b{number}"] = rng.standard_normal(outputs).astype(np.float32)
    return weights


def _model(weights: Arrays, *shapes: Shape) -> onnx.ModelProto:
    """For each shape a convolution of ``x``, with ``r`` added to it, and a ReLU: ``y``."""
    nodes, inputs, outputs = [], [], []
    for n, (batch, depth, made, image, pads) in enumerate(shapes):
        out = tuple(e + pads[d] + pads[2 + d] - 2 for d, e in enumerate(image))
        nodes += [
            helper.make_node("Conv", [f"x{n}", f"w{n}", f"b{n}"], [f"c{n}"], pads=list(pads)),
            helper.make_node("Add", [f"c{n}", f"r{n}"], [f"s{n}"]),
            helper.make_node("Relu", [f"s{n}"], [f"y{n}"]),
        ]
        for name, dims in ((f"x{n}", (batch, depth, *image)), (f"r{n}", (batch, made, *out))):
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        outputs.append(helper.make_tensor_value_info(f"y{n}", TensorProto.FLOAT, (batch, made, *out)))
    initial = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _defined(weights: Arrays, inputs: Arrays, *shapes: Shape) -> Arrays:
    """The same in fp64."""
    found = {}
    for n, (*_, (top, left, bottom, right)) in enumerate(shapes):
        around = ((0, 0), (0, 0), (top, bottom), (left, right))
        x = np.pad(inputs[f"x{n}"].astype(np.float64), around)
        high, wide = x.shape[2] - 2, x.shape[3] - 2
        total = inputs[f"r{n}"] + weights[f"b{n}"].astype(np.float64)[None, :, None, None]
        for i in range(3):
            for j in range(3):
                taps = weights[f"w{n}"][:, :, i, j].astype(np.float64)
                total = total + np.einsum("nchw,oc->nohw", x[:, :, i : i + high, j : j + wide], taps)
        found[f"y{n}"] = np.maximum(total, 0.0)
    return found


def _force(monkeypatch: pytest.MonkeyPatch, m: int) -> None:
    monkeypatch.setattr(winograd, "tile_of", lambda *_: m)


def _is_winograd(kernels: AotKernels) -> bool:
    return any(layer.kernel == "winograd" for layer in kernels.layers)


@given(some.sampled_from(SIZES), some.data())
def test_the_matrices_are_exact(m: int, data: some.DataObject) -> None:
    of = winograd.transforms(m)
    whole = some.integers(-50, 50)
    tile = [[Fraction(data.draw(whole)) for _ in range(m + 2)] for _ in range(m + 2)]
    taps = [[Fraction(data.draw(whole)) for _ in range(3)] for _ in range(3)]

    def product(a: Any, b: Any) -> list[list[Fraction]]:
        return [[sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0))
                 for column in zip(*b, strict=True)] for row in a]  # fmt: skip

    def around(a: Any, x: Any) -> list[list[Fraction]]:
        return product(product(a, x), list(zip(*a, strict=True)))

    pairs = zip(around(of.image, tile), around(of.weight, taps), strict=True)
    found = around(of.inverse, [[x * w for x, w in zip(*rows, strict=True)] for rows in pairs])
    expected = [
        [sum(tile[y + i][x + j] * taps[i][j] for i in range(3) for j in range(3)) for x in range(m)]
        for y in range(m)
    ]
    assert found == expected
    constants = {value for rows in (of.image, of.inverse) for row in rows for value in row}
    assert all(Fraction(float(np.float32(float(value)))) == value for value in constants)


@pytest.mark.parametrize("m", SIZES)
def test_odd_shapes(m: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _force(monkeypatch, m)
    weights = _weights(*SHAPES)
    kernels, native = compiled(_model(weights, *SHAPES), tmp_path)
    assert sum(layer.kernel == "winograd" for layer in kernels.layers) == 2 * len(SHAPES)
    assert not [layer for layer in kernels.layers if layer.name.endswith("pad")]
    inputs = random_inputs(kernels.inputs)
    found = native.run(inputs)
    for name, expected in _defined(weights, inputs, *SHAPES).items():
        assert worst({name: found[name]}, {name: expected.astype(np.float32)}) < 2e-6, name
    macs = [found[f"y{n}"].size * depth * 9 for n, (_, depth, *_) in enumerate(SHAPES)]
    assert kernels.macs == sum(macs)


def test_threads_change_nothing(tmp_path: Path) -> None:
    shape = (1, 48, 40, (19, 23), (1, 1, 1, 1))
    found = []
    for threads in (1, 2, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        kernels, native = compiled(_model(_weights(shape), shape), folder, threads=threads)
        assert _is_winograd(kernels)
        found.append(native.run(random_inputs(kernels.inputs))["y0"].tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("spread", [1.0, 1e3])
def test_rounding_stays_near_a_direct_sum(
    spread: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where channels differ by six orders of magnitude, and places by three."""
    shape = (1, 96, 32, (24, 24), (1, 1, 1, 1))
    rng = np.random.default_rng(3)
    weights = _weights(shape)
    weights["w0"] *= spread ** rng.uniform(-1, 1, (1, 96, 1, 1)).astype(np.float32)
    gaps = {}
    for m in (0, *SIZES):
        _force(monkeypatch, m)
        folder = tmp_path / str(m)
        folder.mkdir()
        kernels, native = compiled(_model(weights, shape), folder)
        inputs = random_inputs(kernels.inputs)
        inputs["x0"] *= spread ** rng.uniform(-0.5, 0.5, (1, 1, 24, 24)).astype(np.float32)
        expected = _defined(weights, inputs, shape)["y0"]
        gaps[m] = float(np.abs(native.run(inputs)["y0"] - expected).max() / np.abs(expected).max())
    assert gaps[2] < 4 * gaps[0]
    assert gaps[4] < 12 * gaps[0]
    assert gaps[4] < 5e-6


@pytest.mark.parametrize("board", ["rpi4", "x86-64-v3"])
def test_other_processors(board: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if board == "x86-64-v3" and platform.machine() != "x86_64":
        pytest.skip("x86-64 code needs such a processor: no emulator here knows AVX2")
    target = load_target(board)
    for m, shape in ((2, SHAPES[2]), (4, SHAPES[7])):
        _force(monkeypatch, m)
        folder = tmp_path / str(m)
        folder.mkdir()
        model = _model(_weights(shape), shape)
        made = compile_graph(model, target, folder)
        assert _is_winograd(made)
        inputs = random_inputs(made.inputs)
        if board == "rpi4":
            shared = link([made.model, made.kernels], target, folder / "lib", executable=False).shared
            assert shared is not None
            arrays = list(inputs.values())
            ran = emulate_library(shared.read_bytes(), made.weights.read_bytes(), arrays, target)
            found = {"y0": np.asarray(ran.outputs[0])}
        else:
            found = compiled(model, folder, board)[1].run(inputs)
        assert worst(found, reference(model, inputs)) < 4e-6


def test_fewer_instructions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Cortex-A72, at most half of the direct convolution's for each multiply-accumulate."""
    shape, target = (1, 32, 32, (28, 28), (1, 1, 1, 1)), load_target("rpi4")
    counts = {}
    for name in ("chosen", "direct"):
        if name == "direct":
            _force(monkeypatch, 0)
        folder = tmp_path / name
        folder.mkdir()
        made = compile_graph(_model(_weights(shape), shape), target, folder)
        assert _is_winograd(made) == (name == "chosen")
        shared = link([made.model, made.kernels], target, folder / "lib", executable=False).shared
        assert shared is not None
        inputs = list(random_inputs(made.inputs).values())
        ran = emulate_library(shared.read_bytes(), made.weights.read_bytes(), inputs, target)
        counts[name] = ran.instructions / made.macs
    assert counts["chosen"] < 0.17
    assert counts["chosen"] < 0.5 * counts["direct"]


def test_the_rule() -> None:
    """Large tiles where there are many, small ones where weights are many, none where neither pays."""
    assert winograd.tile_of(64, 64, 1, (56, 56)) == 4
    assert winograd.tile_of(128, 128, 1, (28, 28)) == 4
    assert winograd.tile_of(512, 512, 1, (7, 7)) == 2
    assert winograd.tile_of(512, 512, 8, (7, 7)) == 4
    assert winograd.tile_of(512, 512, 1, (3, 3)) == 0
    assert winograd.tile_of(3, 32, 1, (112, 112)) == 0


def test_small_memories_keep_their_weights(tmp_path: Path) -> None:
    shape = (1, 64, 64, (32, 32), (1, 1, 1, 1))
    model, target = _model(_weights(shape), shape), load_target("rpi4")
    sizes = {}
    for memory in (1 << 22, 1 << 30):
        folder = tmp_path / str(memory)
        folder.mkdir()
        made = compile_graph(model, replace(target, memory_bytes=memory), folder)
        assert _is_winograd(made) == (memory > 1 << 22)
        sizes[memory] = made.weights_bytes
    assert sizes[1 << 22] < 64 * 64 * 9 * 4 + 1024 < sizes[1 << 30]
    folder = tmp_path / "microcontroller"
    folder.mkdir()
    assert not _is_winograd(compile_graph(model, load_target("cortex-m7"), folder))
