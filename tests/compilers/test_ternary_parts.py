"""Ternary dense layers on emulated 64-bit Arm: every shape of tile, whichever way threads divide the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepress.targets import load_target
from tests.compilers.dynamic_graphs import Dense, Layer, together
from tests.compilers.emulated_parts import run_in_parts

# One row; a few; tiles of unequal rows; many, for which weights are unpacked, with panels that end early; sums
# of 16 bits that are moved on; both ends of the ranges.
CASES = [
    Dense((1,), 300, 70), Dense((3,), 65, 5), Dense((13,), 129, 33), Dense((40,), 500, 37), Dense((64,), 130, 18),
    Dense((17,), 2600, 20), Dense((6,), 1100, 9, extreme=True), Dense((1,), 2049, 6, extreme=True),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rows[0]}x{case.outputs} of {case.inputs}")
@pytest.mark.parametrize("board", ["rpi4", "rpi5"])
def test_parts_together_equal_numpy(board: str, case: Dense, tmp_path: Path) -> None:
    layer = Layer(case, 0)
    cuts = [0.13, 0.29, 0.37, 0.5, 0.61, 0.83]
    found = run_in_parts(together([layer]), load_target(board), tmp_path, layer.x, cuts)
    np.testing.assert_array_equal(found, layer.expected())
