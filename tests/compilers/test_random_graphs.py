"""Fifty generated graphs agree with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compilers.graphs import random_graph
from tests.compilers.running import compiled, random_inputs, reference, worst


@pytest.mark.parametrize("seed", range(50))
def test_a_generated_graph_agrees_with_onnx_runtime(seed: int, tmp_path: Path) -> None:
    model = random_graph(seed)
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs, seed)
    assert worst(native.run(inputs), reference(model, inputs)) < 1e-4


def test_the_same_seed_gives_the_same_graph() -> None:
    assert random_graph(7).SerializeToString() == random_graph(7).SerializeToString()
    assert random_graph(7).SerializeToString() != random_graph(8).SerializeToString()
