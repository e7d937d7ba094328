"""Fifty generated graphs agree with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compilers.graphs import random_graph, side_by_side
from tests.compilers.running import compiled, random_inputs, reference, worst


@pytest.mark.parametrize("first", range(0, 50, 5))
def test_generated_graphs_agree_with_onnx_runtime(first: int, tmp_path: Path) -> None:
    model = side_by_side(range(first, first + 5))
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs, first)
    found, expected = native.run(inputs), reference(model, inputs)
    gaps = {name: worst({name: found[name]}, {name: value}) for name, value in expected.items()}
    assert {name: gap for name, gap in gaps.items() if not gap < 1e-4} == {}


def test_the_same_seed_gives_the_same_graph() -> None:
    assert random_graph(7).SerializeToString() == random_graph(7).SerializeToString()
    assert random_graph(7).SerializeToString() != random_graph(8).SerializeToString()
