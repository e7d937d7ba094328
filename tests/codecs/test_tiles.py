"""Tiles against the whole, and edges against NumPy's own padding."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgepress.runtimes.codec_tiles import CodeAxis, Reach, SampleAxis, Tiling

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(("size", "factor"), [(100, 8), (101, 8), (1, 8), (7, 16), (64, 16), (3, 1), (1, 1)])
def test_samples_repeat_the_last_and_are_mirrored(size: int, factor: int) -> None:
    before, after = 4 * (factor - 1), 3 * (factor - 1)
    filled = np.pad(np.arange(size), (0, -size % factor), "edge")
    expected = np.pad(filled, (before, after), "reflect") if len(filled) > 1 else filled
    found = SampleAxis(size, factor, after).places(-before, len(expected))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [40, 12])
def test_codes_are_mirrored_in_front_and_repeated_behind(size: int) -> None:
    line = np.arange(size)
    expected = np.pad(np.pad(line, (11, 0), "reflect"), (0, 4), "symmetric")
    assert np.array_equal(CodeAxis(size, 4).places(-11, size + 15), expected)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_few_codes_are_those_of_a_mirrored_signal(size: int) -> None:
    """A signal of 2 · size samples, mirrored without end, has this low band: every second sample."""
    period = 2 * (2 * size - 1)
    signal = np.arange(-40, 40) * 2 % period
    samples = np.minimum(signal, period - signal)  # whole-sample mirrored, at even places
    expected = (samples + 1) // 2  # of 2k and 2k − 1: both halves of the mirror meet in code k
    assert np.array_equal(CodeAxis(size, 40).places(-40, 80), np.minimum(expected, size - 1))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 6)), min_size=1, max_size=3),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 3),
)
def test_a_tile_holds_what_the_whole_has_there(
    sizes: list[tuple[int, int]], level: int, encodes: bool, channels: int
) -> None:
    factor = 2**level
    reach = Reach(4 * (factor - 1), 3 * (factor - 1), factor) if encodes else Reach(3, 2, 1)
    extents, tile = tuple(size for size, _ in sizes), tuple(each for _, each in sizes)
    tile = tuple(min(each, -(-size // reach.scale)) for size, each in zip(extents, tile, strict=True))
    results = tuple(-(-size // reach.scale) for size in extents)
    axes = tuple(
        SampleAxis(size, factor, reach.after) if encodes else CodeAxis(size, reach.after) for size in extents
    )
    assume(reach.fits(tile) or tile == results)
    whole = np.random.default_rng(0).standard_normal((channels, *extents)).astype(np.float32)
    cut = Tiling(axes, results, tile, reach)
    seen = np.zeros(results, int)
    for first, count, start, end in cut.bands():
        for corner in cut.tiles(first):
            buffer = np.full((channels, *reach.extents(tile)), np.nan, np.float32)
            cut.fill(buffer, whole[:, start:end], start, corner, lambda block, out: np.copyto(out, block))
            expected = whole
            for number, (axis, place, extent) in enumerate(
                zip(axes, corner, reach.extents(tile), strict=True), 1
            ):
                expected = np.take(expected, axis.places(reach.scale * place - reach.before, extent), number)
            assert np.array_equal(buffer, expected)
            inside, kept = cut.kept(corner)
            seen[first : first + count][inside] += 1
            assert all(part.stop - part.start == span.stop for part, span in zip(inside, kept, strict=True))
    assert (seen == 1).all()
    assert cut.count == len(list(cut.bands()))


def test_tiles_too_small_for_their_halo_are_told() -> None:
    assert Reach(28, 21, 8).fits((1, 1)) and Reach(60, 45, 16).fits((1, 1))
    assert not Reach(11, 11, 1).fits((0,))
    assert not Reach(11, 4, 1).fits((7, 64)) and Reach(11, 4, 1).fits((8, 64))


def test_a_tile_larger_than_everything() -> None:
    axes = (SampleAxis(3, 4, 9), SampleAxis(2, 4, 9))
    cut = Tiling(axes, (1, 1), (8, 8), Reach(12, 9, 4))
    buffer = np.full((1, 53, 53), np.nan, np.float32)
    block = np.arange(6.0, dtype=np.float32).reshape(1, 3, 2)
    ((_, _, start, end),) = cut.bands()
    cut.fill(buffer, block[:, start:end], start, (0, 0), lambda given, out: np.copyto(out, given))
    assert np.isfinite(buffer).all()
    for row, column in product(range(3), range(2)):
        assert buffer[0, 12 + row, 12 + column] == block[0, row, column]
