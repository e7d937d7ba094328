"""What is known of a value before it is read: a whole-number prediction from neighbours, and how far it may err.

Neighbouring latents still correlate. A value is coded as its distance from a prediction, by one of a few tables
that follow each other from narrow to wide; which one is decided by how far the predictions nearby erred. Both are
sums of neighbours times whole numbers, so that every machine decides alike.

A prediction falls between two whole numbers; the distance is from the nearer one, and counted towards the other.
Each level has two tables: for predictions near a whole number, and for those near the middle of two. With few
bits a value, where most are 0, that tells more than the prediction itself.

A chunk is ``[channels, rows, columns]``; channels are coded one after the other, each row by row. A neighbour is
in a channel coded before, or in the same one and earlier; outside of the chunk all is 0. Recordings are one row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.rans import LANES, Reader, Writer
from edgepress.coding.table import Table
from edgepress.errors import BundleError, DataError

Array = np.ndarray[Any, Any]

ONE = 8  # bits after the binary point of a sum of values
REACH = 2  # rows and columns that a neighbour is away at most
PLACES = tuple(  # rows and columns away, the nearest nine first: a place's number is its index
    sorted(
        ((row, column) for row in range(-REACH, REACH + 1) for column in range(-REACH, REACH + 1)),
        key=lambda place: (max(map(abs, place)) > 1, place),
    )
)
MOST = (1 << 14) - 1  # the largest magnitude of a value, so that distances have 16 bits
FINE = 4  # bits after the binary point of an error
MOST_ERROR = (256 << FINE) - 1  # what an error counts for at most
LEVEL_SHIFT = 8  # a sum of errors over 2**LEVEL_SHIFT is compared with the levels
MOST_LEVEL = 1023
MOST_TABLES = 64
MOST_TAPS = 256  # of a channel, both kinds together
MOST_WEIGHT = 3 << 14  # the magnitudes of a sum's weights together, so that it has 32 bits
MOST_OFFSET = 1 << 24


@dataclass(frozen=True)
class Tap:
    """A neighbour and its weight.

    Attributes:
        channel: whose; the coded value's own, or one coded before it.
        row, column: from −2 to 2 away; in the own channel above, or one of the two values before.
        weight: of 16 bits.
    """

    channel: int
    row: int
    column: int
    weight: int


@dataclass(frozen=True)
class Sums:
    """How a channel's values are predicted.

    Attributes:
        values: taps whose sum of values, weights being out of 256, is the prediction.
        errors: taps whose sum of earlier errors chooses the level. An error is the magnitude of a value less the
            sum that predicted it, in sixteenths.
        offset: what is added to that second sum.
    """

    values: tuple[Tap, ...]
    errors: tuple[Tap, ...]
    offset: int


@dataclass(frozen=True, eq=False)
class Context:
    """How a codec's values are predicted.

    Attributes:
        order: the channels in the order in which they are coded.
        first: the sums of each channel in the first row of a chunk, above which nothing is known.
        rest: those in every other row.
        levels: rising, from 1 to ``MOST_LEVEL``; the sum over 256 reaches so many of them.
        tables: two for each number of levels reached, near and far from a whole number.
    """

    order: tuple[int, ...]
    first: tuple[Sums, ...]
    rest: tuple[Sums, ...]
    levels: tuple[int, ...]
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.rest) == len(self.order):
            raise BundleError("a context has sums for other channels than it has an order of")
        if not self.order or sorted(self.order) != list(range(len(self.order))):
            raise BundleError("a context's order does not name each channel once")
        if len(self.tables) != 2 * len(self.levels) + 2 or len(self.tables) > MOST_TABLES:
            raise BundleError("a context has other tables than two for each level")
        if not all(a < b for a, b in zip((0, *self.levels), (*self.levels, MOST_LEVEL + 1), strict=True)):
            raise BundleError(f"a context's levels do not rise from 1 to {MOST_LEVEL}")
        known: set[int] = set()
        for channel in self.order:
            _check(self.first[channel], channel, known)
            _check(self.rest[channel], channel, known)
            known.add(channel)

    @property
    def channels(self) -> int:
        """Of what it predicts."""
        return len(self.order)

    def sums(self, channel: int, row: int) -> Sums:
        """How a channel is predicted in a row of a chunk."""
        return (self.rest if row else self.first)[channel]


def _check(sums: Sums, channel: int, known: set[int]) -> None:
    for tap in (*sums.values, *sums.errors):
        own = (tap.row, tap.column) < (0, 0)
        earlier = own if tap.channel == channel else tap.channel in known
        if not (earlier and max(abs(tap.row), abs(tap.column)) <= REACH):
            raise BundleError(f"a neighbour {tap} of channel {channel} is not known before it")
        if not -(2**15) <= tap.weight < 2**15:
            raise BundleError(f"a neighbour's weight {tap.weight} has more than 16 bits")
    heavy = max(sum(abs(tap.weight) for tap in taps) for taps in (sums.values, sums.errors)) > MOST_WEIGHT
    if heavy or len(sums.values) + len(sums.errors) > MOST_TAPS or abs(sums.offset) > MOST_OFFSET:
        raise BundleError(f"the neighbours of channel {channel} are too many or weigh too much")


def distances(context: Context, values: Array) -> tuple[Array, Array]:
    """What is coded, and by which tables.

    Args:
        values: int16 ``[channels, rows, columns]`` of a chunk, magnitudes up to ``MOST``.

    Returns:
        The distances from the predictions, int16, and the tables' numbers, uint8, both of the same shape.

    Raises:
        ValueError: a value is too large, or there are other channels.
    """
    values = np.asarray(values, np.int64)
    if len(values) != context.channels or (values.size and np.abs(values).max() > MOST):
        raise ValueError(f"values of shape {values.shape} or beyond {MOST} for {context.channels} channels")
    found, tables, errors = np.zeros_like(values), np.zeros_like(values), np.zeros_like(values)
    for channel in context.order:
        sums = both_sums(context.first[channel].values, context.rest[channel].values, values)
        found[channel], far = distance_of(values[channel], sums)
        errors[channel] = error_of(values[channel], sums)
        level = both_sums(context.first[channel].errors, context.rest[channel].errors, errors)
        level[:1] += context.first[channel].offset
        level[1:] += context.rest[channel].offset
        tables[channel] = 2 * np.searchsorted(context.levels, level >> LEVEL_SHIFT, side="right") + far
    return found.astype(np.int16), tables.astype(np.uint8)


def distance_of(values: Any, sums: Any) -> tuple[Any, Any]:
    """What is coded of values that sums predict, and whether the sums are far from whole numbers."""
    nearest, turned, far = parted(sums)
    return np.where(turned, nearest - values, values - nearest), far


def parted(sums: Any) -> tuple[Any, Any, Any]:
    """The whole number nearest to each sum, whether the next one is below it, and whether it is far."""
    rest = ((sums + (1 << (ONE - 1))) & ((1 << ONE) - 1)) - (1 << (ONE - 1))
    turned = rest < 0
    nearest = np.clip((sums + (1 << (ONE - 1))) >> ONE, -MOST, MOST)
    return nearest, turned, np.where(turned, ~rest, rest) >> (ONE - 2)


def error_of(values: Any, sums: Any) -> Any:
    """How far values lie from the sums that predicted them, as errors' taps count it."""
    return np.minimum(np.abs((values << ONE) - sums) >> (ONE - FINE), MOST_ERROR)


def encode(context: Context, values: Array) -> bytes:
    """A chunk's body (see :mod:`edgepress.coding.rans`); column x belongs to state x mod 4."""
    found, tables = distances(context, values)
    writer = Writer()
    for channel in context.order:
        for row, numbers in zip(found[channel].tolist(), tables[channel].tolist(), strict=True):
            for column, (value, number) in enumerate(zip(row, numbers, strict=True)):
                writer.put(context.tables[number], column % LANES, value)
    return writer.body()


def decode(context: Context, body: bytes, rows: int, columns: int) -> Array:
    """The values of a chunk, int16 ``[channels, rows, columns]``.

    Raises:
        DataError: the body is no such chunk's.
    """
    reader = Reader(body)
    values = np.zeros((context.channels, rows, columns), np.int64)
    errors = np.zeros_like(values)
    half = 1 << (ONE - 1)
    for channel in context.order:
        for row in range(rows):
            known = context.sums(channel, row)
            taps = known.values, known.errors
            (near, nearer), (off, offer) = (_weights_before(each, channel) for each in taps)
            others = [[tap for tap in each if not _is_before(tap, channel)] for each in taps]
            sums = sum_of(others[0], values, row).tolist()
            levels = (sum_of(others[1], errors, row) + known.offset).tolist()
            value = error = value_before = error_before = 0
            for column in range(columns):
                total = sums[column] + nearer * value + near * value_before
                rest = ((total + half) & (2 * half - 1)) - half  # as in parted(), by Python's own numbers
                nearest = min(max((total + half) >> ONE, -MOST), MOST)
                far = (~rest if rest < 0 else rest) >> (ONE - 2)
                level = (levels[column] + offer * error + off * error_before) >> LEVEL_SHIFT
                value_before, error_before = value, error
                number = 2 * bisect_right(context.levels, level) + far
                found = reader.take(context.tables[number], column % LANES)
                value = nearest - found if rest < 0 else nearest + found
                if not -MOST <= value <= MOST:
                    raise DataError(
                        "a chunk is damaged: it holds a value that is too large; get the stream again"
                    )
                error = min(abs((value << ONE) - total) >> (ONE - FINE), MOST_ERROR)
                values[channel, row, column], errors[channel, row, column] = value, error
    reader.finish()
    return values.astype(np.int16)


def both_sums(first: Sequence[Tap], rest: Sequence[Tap], planes: Array) -> Array:
    """The sums of neighbours at every place of one channel, those of the first row by other taps."""
    found = sum_of(rest, planes)
    found[:1] = sum_of(first, planes, 0)
    return found


def sum_of(taps: Sequence[Tap], planes: Array, row: int | None = None) -> Array:
    """The weighted sum of neighbours at every place of one channel, or of a row of it."""
    first, rows = (0, planes.shape[1]) if row is None else (row, 1)
    columns = planes.shape[2]
    total = np.zeros((rows, columns), np.int64)
    for tap in taps:
        top, bottom = max(0, first + tap.row), min(planes.shape[1], first + rows + tap.row)
        left, right = max(0, tap.column), min(columns, columns + tap.column)
        if top < bottom and left < right:
            here = (
                slice(top - first - tap.row, bottom - first - tap.row),
                slice(left - tap.column, right - tap.column),
            )
            total[here] += tap.weight * planes[tap.channel, top:bottom, left:right]
    return total if row is None else total[0]


def _is_before(tap: Tap, channel: int) -> bool:
    """Whether it is a value before in the same row."""
    return tap.channel == channel and tap.row == 0


def _weights_before(taps: Sequence[Tap], channel: int) -> tuple[int, int]:
    """The weights of the value two before and of the one just before."""
    found = [
        sum(tap.weight for tap in taps if _is_before(tap, channel) and tap.column == k) for k in (-2, -1)
    ]
    return found[0], found[1]
