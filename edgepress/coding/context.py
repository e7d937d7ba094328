"""What is known of a value before it is read: a whole-number prediction from neighbours, and how far it may err.

Neighbouring latents still correlate. A value is coded as its distance from a prediction, by one of a few tables
that follow each other from narrow to wide; which one is decided by how far the predictions nearby erred. Both are
sums of neighbours times whole numbers out of 256, so that every machine decides alike.

A chunk is ``[channels, rows, columns]``; channels are coded one after the other, each row by row. A neighbour is
in an earlier channel, or in the same one and earlier; outside of the chunk all is 0. Recordings are one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.rans import LANES, Reader, Writer
from edgepress.coding.table import Table
from edgepress.errors import BundleError

Array = np.ndarray[Any, Any]

ONE = 8  # bits after the binary point of weights and levels
REACH = 1  # rows and columns that a neighbour is away at most
MOST = (1 << 14) - 1  # the largest magnitude of a value, so that distances have 16 bits
MOST_ERROR = 255  # what an error counts for at most


@dataclass(frozen=True)
class Tap:
    """A neighbour and its weight.

    Attributes:
        channel: whose; the coded value's own, or an earlier one.
        row, column: from −1 to 1 away; in the own channel, earlier in reading order.
        weight: out of 256, of 16 bits.
    """

    channel: int
    row: int
    column: int
    weight: int


@dataclass(frozen=True, eq=False)
class Context:
    """How a codec's values are predicted.

    Attributes:
        values: for each channel, taps whose sum of values is the prediction.
        errors: for each channel, taps whose sum of earlier errors' magnitudes chooses the table.
        offsets: for each channel, what is added to that sum, out of 256.
        levels: rising; the table is the number of levels that the sum reaches, out of 256.
        tables: one more than levels.
    """

    values: tuple[tuple[Tap, ...], ...]
    errors: tuple[tuple[Tap, ...], ...]
    offsets: tuple[int, ...]
    levels: tuple[int, ...]
    tables: tuple[Table, ...]

    def __post_init__(self) -> None:
        if not len(self.values) == len(self.errors) == len(self.offsets) or not self.values:
            raise BundleError("a context has predictions for other channels than it has errors for")
        if len(self.tables) != len(self.levels) + 1 or list(self.levels) != sorted(set(self.levels)):
            raise BundleError("a context's levels do not rise, or are not one fewer than its tables")
        for channel, taps in enumerate(zip(self.values, self.errors, strict=True)):
            for tap in (*taps[0], *taps[1]):
                earlier = (tap.row, tap.column) < (0, 0) if tap.channel == channel else tap.channel < channel
                if not (tap.channel >= 0 and earlier and max(abs(tap.row), abs(tap.column)) <= REACH):
                    raise BundleError(f"a neighbour {tap} of channel {channel} is not known before it")
                if not -(2**15) <= tap.weight < 2**15:
                    raise BundleError(f"a neighbour's weight {tap.weight} has more than 16 bits")

    @property
    def channels(self) -> int:
        """Of what it predicts."""
        return len(self.values)


def distances(context: Context, values: Array) -> tuple[Array, Array]:
    """What is coded, and by which tables.

    Args:
        values: int16 ``[channels, rows, columns]``, magnitudes up to ``MOST``.

    Returns:
        The distances from the predictions, int16, and the tables' numbers, uint8, both of the same shape.

    Raises:
        ValueError: a value is too large, or there are other channels.
    """
    values = np.asarray(values, np.int64)
    if len(values) != context.channels or (values.size and np.abs(values).max() > MOST):
        raise ValueError(f"values of shape {values.shape} or beyond {MOST} for {context.channels} channels")
    found, tables = np.zeros_like(values), np.zeros_like(values)
    errors = np.zeros_like(values)
    for channel in range(len(values)):
        predicted = _predicted(_sum(context.values[channel], values))
        found[channel] = values[channel] - predicted
        errors[channel] = np.minimum(np.abs(found[channel]), MOST_ERROR)
        level = _sum(context.errors[channel], errors) + context.offsets[channel]
        tables[channel] = np.searchsorted(context.levels, level, side="right")
    return found.astype(np.int16), tables.astype(np.uint8)


def encode(context: Context, values: Array) -> bytes:
    """A chunk's body (see :mod:`edgepress.coding.rans`); column x belongs to state x mod 4."""
    found, tables = distances(context, values)
    writer = Writer()
    for rows, numbers in zip(
        found.reshape(-1, found.shape[-1]), tables.reshape(-1, found.shape[-1]), strict=True
    ):
        for column, (value, number) in enumerate(zip(rows.tolist(), numbers.tolist(), strict=True)):
            writer.put(context.tables[number], column % LANES, value)
    return writer.body()


def decode(context: Context, body: bytes, rows: int, columns: int) -> Array:
    """The values of a chunk, int16 ``[channels, rows, columns]``.

    Raises:
        DataError: the body is no such chunk's.
    """
    reader = Reader(body)
    edge = REACH
    values = np.zeros((context.channels, rows + 2 * edge, columns + 2 * edge), np.int64)
    errors = np.zeros_like(values)
    for channel in range(context.channels):
        taps = [_places(each, values.shape) for each in (context.values[channel], context.errors[channel])]
        for row in range(rows):
            for column in range(columns):
                at = (row + edge) * values.shape[2] + column + edge
                predicted = int(_predicted(_at(taps[0], values, at)))
                level = int(_at(taps[1], errors, at)) + context.offsets[channel]
                number = int(np.searchsorted(context.levels, level, side="right"))
                found = reader.take(context.tables[number], column % LANES)
                values[channel, row + edge, column + edge] = predicted + found
                errors[channel, row + edge, column + edge] = min(abs(found), MOST_ERROR)
    reader.finish()
    return values[:, edge : rows + edge, edge : columns + edge].astype(np.int16)


def _predicted(total: Any) -> Any:
    return np.clip((total + (1 << (ONE - 1))) >> ONE, -MOST, MOST)


def _sum(taps: Sequence[Tap], planes: Array) -> Array:
    """The weighted sum of neighbours at every place of one channel."""
    rows, columns = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (REACH, REACH), (REACH, REACH)))
    total = np.zeros((rows, columns), np.int64)
    for tap in taps:
        down, right = REACH + tap.row, REACH + tap.column
        total += tap.weight * padded[tap.channel, down : down + rows, right : right + columns]
    return total


def _places(taps: Sequence[Tap], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Taps as distances in the flat padded planes from a place of channel 0, and their weights."""
    plane = shape[1] * shape[2]
    places = [tap.channel * plane + tap.row * shape[2] + tap.column for tap in taps]
    return np.array(places, np.int64), np.array([tap.weight for tap in taps], np.int64)


def _at(taps: tuple[Array, Array], planes: Array, at: int) -> Any:
    return (planes.reshape(-1)[taps[0] + at] * taps[1]).sum()
