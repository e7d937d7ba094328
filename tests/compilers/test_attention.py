"""Attention against its definition in NumPy, on shapes that are no multiple of anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.schedule.division import same_steps
from tests.compilers.attention_graphs import Attention, Case, beside
from tests.compilers.running import Arrays, compiled

FEW = [
    Case(1, 2, 16, 16, past=30), Case(1, 3, 5, 7, past=17), Case(1, 1, 64, 64, past=255),
    Case(1, 2, 40, 24, cross=9), Case(3, 2, 20, 12, past=6), Case(2, 4, 8, 33), Case(3, 1, 1, 1, past=2),
]  # fmt: skip
MANY = [
    Case(17, 3, 24, 40), Case(33, 2, 64, 64), Case(5, 2, 12, 20, cross=70), Case(64, 1, 16, 48, cross=31),
    Case(4, 1, 32, 32), Case(13, 2, 36, 5), Case(29, 1, 8, 72, cross=3),
]  # fmt: skip
KINDS = (None, np.uint8, np.int8)


def _boards() -> list[str]:
    """This machine as it is, and the x86 levels that it runs."""
    here = load_target("host").cpu
    levels = [b for b in ("x86-64-v3", "x86-64-v4") if set(load_target(b).cpu.features) <= set(here.features)]
    return ["host", *(levels if here.arch == "x86_64" else [])]


def _cases(kind: type | None) -> list[Attention]:
    return [Attention(case, kind, seed) for seed, case in enumerate(FEW + MANY)]


def _agree(attentions: list[Attention], found: Arrays) -> None:
    for attention in attentions:
        expected, given = attention.expected(), found[f"{attention.name}y"]
        assert given.shape == expected.shape
        if attention.dtype is None:
            np.testing.assert_allclose(given, expected, atol=2e-6, rtol=2e-6, err_msg=str(attention.case))
            continue
        # A weight of the softmax that lies between two steps may be either, and moves a few results by one.
        gap = np.abs(given.astype(np.int64) - expected)
        assert gap.max() <= 1, attention.case
        assert np.mean(gap > 0) < 0.02, attention.case


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("board", _boards())
def test_attention_equals_numpy(board: str, kind: type | None, tmp_path: Path) -> None:
    attentions = _cases(kind)
    kernels, native = compiled(beside(attentions), tmp_path, board)
    assert [layer.kernel for layer in kernels.layers] == ["attention"] * len(attentions)
    inputs = {name: value for one in attentions for name, value in one.named().items()}
    _agree(attentions, native.run(inputs))


@pytest.mark.parametrize(
    ("board", "kind"), [("rpi4", None), ("rpi4", np.uint8), ("rpi5", np.int8), ("rpi5", np.uint8)]
)
def test_attention_equals_numpy_on_an_emulated_board(board: str, kind: type | None, tmp_path: Path) -> None:
    attentions, target = _cases(kind), load_target(board)
    made = compile_graph(beside(attentions), target, tmp_path)
    assert [layer.kernel for layer in made.layers] == ["attention"] * len(attentions)
    shared = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert shared is not None
    inputs = {name: value for one in attentions for name, value in one.named().items()}
    result = emulate_library(
        shared.read_bytes(), made.weights.read_bytes(), [inputs[spec.name] for spec in made.inputs], target
    )
    _agree(attentions, dict(zip([spec.name for spec in made.outputs], result.outputs, strict=True)))


def test_every_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    from edgepress.runtimes.native import NativeModel

    for kind in (None, np.uint8):
        attentions = _cases(kind)
        kernels, native = compiled(beside(attentions), tmp_path)
        inputs = {name: value for one in attentions for name, value in one.named().items()}
        one = native.run(inputs)
        library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
        for threads in (2, 3):
            many = NativeModel(library, kernels.weights.read_bytes(), threads=threads).run(inputs)
            assert all(np.array_equal(one[name], many[name]) for name in one)


def test_what_is_read_elsewhere_is_left_alone(tmp_path: Path) -> None:
    """Scores that are a result of their own are not swallowed."""
    attention = Attention(Case(5, 2, 8, 8), None, 1)
    graph = attention.graph()
    scores = next(node for node in graph.graph.node if node.op_type == "Softmax")
    graph.graph.output.add().CopyFrom(graph.graph.output[0])
    graph.graph.output[1].name = scores.output[0]
    shape = graph.graph.output[1].type.tensor_type.shape
    del shape.dim[:]
    for extent in (2, 5, 5):
        shape.dim.add().dim_value = extent
    _, native = compiled(graph, tmp_path)
    found = native.run(attention.named())
    np.testing.assert_allclose(found[scores.output[0]].sum(-1), 1.0, atol=1e-6)
    _agree([attention], {f"{attention.name}y": found[f"{attention.name}y"]})


def test_steps_by_multiplication_are_those_of_division() -> None:
    """Where the check says so, over every number near every boundary; the check is not always no."""
    rng = np.random.default_rng(0)
    taken = 0
    for scale in rng.uniform(1e-4, 0.5, 200).astype(np.float32):
        taken += same_steps(Grid(float(scale), 13, "uint8"))
    assert taken > 190
    assert not same_steps(Grid(1e38 * 3, 0, "uint8"))
