"""The coder by definition: what comes out is what went in, at the tables' cost, and damage is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding import context, plain
from edgepress.coding.context import Sums, Tap
from edgepress.coding.rans import Reader
from edgepress.coding.table import Table, fit_table, whole_frequencies
from edgepress.errors import BundleError, DataError
from tests.coding.codecs import small_context, smooth

DAMAGED = small_context(5), context.encode(small_context(5), smooth((3, 4, 6), 6))
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 9))


@settings(max_examples=40, deadline=None)
@given(
    shape=SHAPES, spread=st.sampled_from([0.2, 3.0, 5000.0]), bits=st.integers(8, 15), seed=st.integers(0, 99)
)
def test_values_come_back(shape: tuple[int, int, int], spread: float, bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.clip(random.laplace(0, spread, shape).round(), -(2**15), 2**15 - 1).astype(np.int16)
    tables = [fit_table(np.append(channel[0], 1), bits) for channel in values]  # the other rows bring escapes
    body = plain.encode(tables, values)
    assert (plain.decode(tables, body, *shape[1:]) == values).all()


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_predicted_values_come_back(rows: int, columns: int, seed: int) -> None:
    known, values = small_context(seed), smooth((3, rows, columns), seed + 1)
    values[0, 0, 0] = context.MOST
    body = context.encode(known, values)
    assert (context.decode(known, body, rows, columns) == values).all()


def test_a_body_costs_what_its_tables_say() -> None:
    values = np.random.default_rng(0).laplace(0, 6, (1, 100, 200)).round().astype(np.int16)
    table = fit_table(values, 12)
    assert len(plain.encode([table], values)) * 8 <= 1.005 * table.cost(values)


def test_a_table_costs_hardly_more_than_the_values_hold() -> None:
    values = np.random.default_rng(0).laplace(0, 6, 50_000).round()
    counts = np.unique(values, return_counts=True)[1]
    least = -(counts * np.log2(counts / counts.sum())).sum()
    assert fit_table(values, 12).cost(values) <= 1.002 * least
    assert fit_table(values, 15).cost(values) <= 1.001 * least


def test_neighbours_save_bits() -> None:
    known, values = small_context(3), smooth((3, 40, 50), 4)
    alone = plain.encode([fit_table(channel) for channel in values], values)
    assert len(context.encode(known, values)) < 0.8 * len(alone)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0, 1e6), min_size=2, max_size=60).filter(lambda found: sum(found) > 0),
    bits=st.integers(8, 15),
)
def test_whole_frequencies_are_some_table(weights: list[float], bits: int) -> None:
    found = whole_frequencies(np.array(weights), bits)
    assert found.min() >= 1 and int(found.sum(dtype=np.int64)) == 1 << bits


@settings(max_examples=200, deadline=None)
@given(where=st.integers(0, 10_000), by=st.integers(1, 255), cut=st.booleans())
def test_damage_never_goes_unnoticed_or_further(where: int, by: int, cut: bool) -> None:
    """A body without its checksum: another value may come out, but nothing else than an error or values."""
    known, body = DAMAGED[0], bytearray(DAMAGED[1])
    where %= len(body)
    body[where] ^= by
    try:
        found = context.decode(known, bytes(body[:where] if cut else body), 4, 6)
    except DataError as error:
        assert "damaged" in str(error)
    else:
        assert found.shape == (3, 4, 6)


def test_a_body_that_is_too_short_is_refused() -> None:
    for length in range(20):
        with pytest.raises(DataError, match="damaged"):
            Reader(bytes(length))


@pytest.mark.parametrize(
    ("low", "bits", "frequencies"),
    [
        (0, 8, [128, 127]),
        (0, 8, [256, 0]),
        (0, 7, [64, 64]),
        (0, 16, [1, 1]),
        (0, 8, [256]),
        (32767, 8, [128, 128]),
    ],
)
def test_what_is_no_table_is_refused(low: int, bits: int, frequencies: list[int]) -> None:
    with pytest.raises(BundleError, match="table"):
        Table(low, bits, np.array(frequencies, np.uint16))


def sums(values: Sequence[Tap] = (), errors: Sequence[Tap] = (), offset: int = 0) -> dict[str, Any]:
    """A change of channel 0's sums; channel 1 is coded before it, channel 2 behind."""
    empty = Sums((), (), 0)
    return {"first": (Sums(tuple(values), tuple(errors), offset), empty, empty)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (sums(values=[Tap(0, 0, 1, 100)]), "not known before"),
        (sums(errors=[Tap(2, 0, 0, 100)]), "not known before"),
        (sums(values=[Tap(1, 3, 0, 100)]), "not known before"),
        (sums(errors=[Tap(0, 0, 2, 100)]), "not known before"),
        (sums(values=[Tap(1, 0, 0, 40_000)]), "16 bits"),
        (sums(values=[Tap(1, 0, 0, 30_000), Tap(1, 0, 1, -30_000)]), "weigh too much"),
        (sums(offset=1 << 25), "weigh too much"),
        ({"order": (0, 0, 1)}, "order"),
        ({"order": (0, 1)}, "other channels"),
        ({"levels": (2, 8, 8, 100, 400)}, "do not rise"),
        ({"levels": (2, 8, 30, 100, 1024)}, "do not rise"),
        ({"levels": (2, 8)}, "two for each level"),
    ],
)
def test_what_is_no_context_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BundleError, match=says):
        dataclasses.replace(small_context(0), **change)


def test_the_middle_of_two_numbers_is_told_from_a_number_itself() -> None:
    """Sums out of 256: 5, 5.2, 5.4, 5.6, 5.9 and −5.4."""
    nearest, turned, far = context.parted(np.array([1280, 1331, 1382, 1434, 1510, -1382]))
    assert nearest.tolist() == [5, 5, 5, 6, 6, -5]
    assert turned.tolist() == [False, False, False, True, True, True]
    assert far.tolist() == [0, 0, 1, 1, 0, 1]
