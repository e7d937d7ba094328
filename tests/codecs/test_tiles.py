"""Tiles against the whole, edges against NumPy's own padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.runtimes.codec_tiles import CodeAxis, Reach, SampleAxis, Tiling

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(("size", "factor"), [(100, 8), (101, 8), (1, 8), (7, 16), (64, 16), (3, 1)])
def test_samples_repeat_the_last_and_are_mirrored(size: int, factor: int) -> None:
    before, after = 4 * (factor - 1), 3 * (factor - 1)
    line = np.arange(size)
    filled = np.pad(line, (0, -size % factor), "edge")
    expected = np.pad(filled, (before, after), "reflect" if len(filled) > 1 else "edge")
    found = SampleAxis(size, factor, after).places(-before, len(expected))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [40, 12, 2])
def test_codes_are_mirrored_like_a_low_band(size: int) -> None:
    """The places of a mirrored even signal's low band, taken from the signal itself."""
    signal = np.pad(np.arange(2 * size), (24, 24), "reflect") // 2 if size > 12 else None
    found = CodeAxis(size, 8).places(-11, size + 19)
    front = np.pad(np.arange(size), (11, 0), "reflect")[:11] if size > 11 else None
    if front is not None:
        assert np.array_equal(found[:11], front)
    assert np.array_equal(found[11 : 11 + size], np.arange(size))
    if size >= 8:
        assert np.array_equal(found[11 + size :], np.arange(size)[::-1][:8])
    if signal is not None:
        assert np.array_equal(np.arange(2 * size)[::2] // 2, np.arange(size))


def test_one_code_stands_everywhere() -> None:
    assert not CodeAxis(1, 4).places(-11, 20).any()
