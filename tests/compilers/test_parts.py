"""Work divided between threads: how many parts a call is worth, and that any number computes everything once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgepress.runtimes.native import NativeModel
from edgepress.targets import load_target
from edgepress.targets.compilers.tvm.machine import machine_of
from edgepress.targets.compilers.tvm.parts import WORTH, most_parts
from tests.compilers.networks import exported
from tests.compilers.running import compiled, random_inputs, reference, worst

KERNELS = {  # how the tiles of a contraction are divided depends on what weighs more
    "rows, small weights": (nn.Conv2d(24, 40, 3, padding=1), (2, 24, 9, 11)),
    "rows of a plane": (nn.Conv2d(256, 112, 1), (1, 256, 16, 17)),
    "rows of an image": (nn.Conv2d(64, 84, 3, padding=1), (2, 64, 27, 25)),
    "panels and tiles": (nn.Conv2d(512, 112, 1), (1, 512, 5, 7)),
    "panels and rows": (nn.Conv2d(128, 72, 3, padding=1), (1, 128, 5, 7)),
    "one narrow panel": (nn.Conv2d(2048, 13, 1), (1, 2048, 5, 7)),
    "depthwise": (nn.Conv2d(88, 88, 3, padding=1, stride=2, groups=88), (2, 88, 9, 11)),
    "depthwise, wide window": (nn.Conv2d(40, 40, 5, padding=2, groups=40), (2, 40, 6, 9)),
    "depthwise in one dimension": (nn.Conv1d(48, 48, 3, padding=1, groups=48), (3, 48, 21)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KERNELS)
def test_any_number_of_parts_computes_everything_once(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer, shape = KERNELS[kind]
    model = exported(nn.Sequential(layer, nn.ReLU()), torch.zeros(shape))
    kernels, alone = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs)
    wanted = alone.run(inputs)
    assert worst(wanted, reference(model, inputs)) < 1e-4
    library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
    for threads in (2, 3, 5, 16, 61):
        given = NativeModel(library, kernels.weights.read_bytes(), threads=threads).run(inputs)
        assert all(np.array_equal(given[name], wanted[name]) for name in wanted), threads


@pytest.mark.parametrize("board", ["x86-64-v4", "rpi4", "rpi5", "cortex-m7"])
@given(
    extent=st.integers(1, 10_000),
    macs=st.integers(0, 10**9),
    moved=st.integers(1, 10**8),
    eight=st.booleans(),
)
def test_a_part_has_work_that_is_worth_handing_over(
    board: str, extent: int, macs: int, moved: int, eight: bool
) -> None:
    machine = machine_of(load_target(board))
    dtypes = ("uint8", "int8", "int32") if eight else ("float32",)
    parts = most_parts(extent, dtypes, macs, moved, machine)
    assert 1 <= parts <= extent
    work = macs / (machine.lanes * (machine.depth if eight else 1)) + moved / (4 * machine.lanes)
    assert parts == 1 or work / parts >= WORTH
    assert parts <= most_parts(extent, dtypes, 2 * macs, 2 * moved, machine)
