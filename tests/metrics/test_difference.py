"""How far one result lies from another."""

from __future__ import annotations

import numpy as np
import pytest

from edgepress.metrics.difference import magnitude, worst_difference


@pytest.mark.parametrize(
    ("found", "expected", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.5),
        ([np.nan], [np.nan], 0.0),
        ([np.inf], [np.inf], 0.0),
        ([np.inf], [-np.inf], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0], [1.0, 2.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_difference(found: list[float], expected: list[float], apart: float) -> None:
    assert worst_difference(np.array(expected, np.float32), np.array(found, np.float32)) == apart


def test_a_missing_output_differs_by_everything() -> None:
    assert worst_difference(np.zeros(1), None) == np.inf


def test_magnitude_counts_from_one() -> None:
    assert magnitude(np.array([0.5, -0.25])) == 1.0
    assert magnitude(np.array([np.inf, -3.0], np.float32)) == 3.0
    assert magnitude(np.zeros(0)) == 1.0
