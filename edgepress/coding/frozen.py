"""A codec's models as bytes, one for each of its rates: what a bundle carries, and what its identity is made from.

::

    "EPCT", version, rates (1 byte each) │ models │ CRC-32 of all
    model:   0, channels, a table for each   or   1, channels, order, sums of each in a first row, sums of each in
             the others, levels' count, levels, tables
    table:   lowest value, bits, symbols, frequencies
    sums:    neighbours' count and neighbours for values, the same for errors, offset
    neighbour: channel, place (its number in PLACES), weight

All are LEB128, numbers with a sign folded. The same models are the same bytes: what could be written in another way
is refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from edgepress.coding.coder import Coding
from edgepress.coding.context import MOST_OFFSET, MOST_TABLES, MOST_TAPS, PLACES, Context, Sums, Tap
from edgepress.coding.leb import folded, read_leb, unfolded, write_leb
from edgepress.coding.table import MOST_SYMBOLS, Table
from edgepress.errors import BundleError

MARK = b"EPCT"
VERSION = 1
MOST_RATES = 16
MOST_CHANNELS = 1 << 12
MOST_BYTES = 1 << 22
_HEAD = len(MARK) + 2
Item = TypeVar("Item")


def write_codings(codings: Sequence[Coding]) -> bytes:
    """The bytes of models, in the order of their rates.

    Raises:
        ValueError: there are none, or more than ``MOST_RATES``.
    """
    if not 1 <= len(codings) <= MOST_RATES:
        raise ValueError(f"{len(codings)} models; a codec has 1 to {MOST_RATES}")
    body = b"".join(write_leb(number) for coding in codings for number in _numbers(coding))
    whole = MARK + bytes((VERSION, len(codings))) + body
    return whole + zlib.crc32(whole).to_bytes(4, "little")


def read_codings(data: bytes) -> tuple[Coding, ...]:
    """The models that bytes hold.

    Raises:
        BundleError: they hold none, those of a later version, or are damaged.
    """
    if data[: len(MARK)] != MARK or not _HEAD + 4 <= len(data) <= MOST_BYTES:
        raise BundleError("a codec's tables are none; build the codec again")
    if data[4] != VERSION:
        raise BundleError(
            f"a codec's tables have the version {data[4]}, this edgepress reads {VERSION}; update edgepress"
        )
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise BundleError("a codec's tables are damaged; copy or build the codec again")
    source = _Numbers(data[:-4])
    try:
        if not 1 <= data[5] <= MOST_RATES:
            raise ValueError(f"{data[5]} rates")
        found = tuple(_coding(source) for _ in range(data[5]))
        source.finish()
    except (ValueError, BundleError) as error:
        raise BundleError(f"a codec's tables make no sense ({error}); build the codec again") from None
    return found


def _numbers(coding: Coding) -> list[int]:
    if not isinstance(coding, Context):
        return [0, len(coding), *(number for table in coding for number in _table_numbers(table))]
    found = [1, coding.channels, *coding.order]
    for sums in (*coding.first, *coding.rest):
        for taps in (sums.values, sums.errors):
            found.append(len(taps))
            for tap in taps:
                found += [tap.channel, PLACES.index((tap.row, tap.column)), folded(tap.weight)]
        found.append(folded(sums.offset))
    found += [len(coding.levels), *coding.levels]
    return [*found, *(number for table in coding.tables for number in _table_numbers(table))]


def _table_numbers(table: Table) -> list[int]:
    return [folded(table.low), table.bits, table.symbols, *table.frequencies.tolist()]


class _Numbers:
    """Numbers one after the other; limits are checked before anything is made from them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEAD

    def take(self, most: int, least: int = 0) -> int:
        number, self._at = read_leb(self._data, self._at)
        if not least <= number <= most:
            raise ValueError(f"the number {number} where {least} to {most} can be")
        return number

    def take_signed(self, most: int) -> int:
        return unfolded(self.take(2 * most))

    def several(self, count: int, item: Callable[[], Item]) -> tuple[Item, ...]:
        if count > len(self._data) - self._at:
            raise ValueError(f"{count} items in {len(self._data) - self._at} bytes")
        return tuple(item() for _ in range(count))

    def finish(self) -> None:
        if self._at != len(self._data):
            raise ValueError("there is something behind the last table")


def _coding(source: _Numbers) -> Coding:
    kind, channels = source.take(1), source.take(MOST_CHANNELS, 1)
    if kind == 0:
        return source.several(channels, lambda: _table(source))
    order = source.several(channels, lambda: source.take(channels - 1))
    first = source.several(channels, lambda: _sums(source))
    rest = source.several(channels, lambda: _sums(source))
    levels = source.several(source.take(MOST_TABLES // 2 - 1), lambda: source.take(1 << 16))
    tables = source.several(2 * len(levels) + 2, lambda: _table(source))
    return Context(order, first, rest, levels, tables)


def _sums(source: _Numbers) -> Sums:
    return Sums(_taps(source), _taps(source), source.take_signed(MOST_OFFSET))


def _taps(source: _Numbers) -> tuple[Tap, ...]:
    return source.several(source.take(MOST_TAPS), lambda: _tap(source))


def _tap(source: _Numbers) -> Tap:
    channel, place = source.take(MOST_CHANNELS), source.take(len(PLACES) - 1)
    return Tap(channel, *PLACES[place], source.take_signed(1 << 15))


def _table(source: _Numbers) -> Table:
    low, bits = source.take_signed(1 << 15), source.take(31)
    frequencies = source.several(source.take(MOST_SYMBOLS), lambda: source.take((1 << 16) - 1))
    return Table(low, bits, np.array(frequencies, np.uint16))
