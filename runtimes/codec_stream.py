"""Codes to a stream and back, piece by piece: no more of either is in memory than a few chunks.

Codes are int16 ``[latents, *extents]``; a stream has rows and columns, so that one axis becomes columns of one row, and
of three the first two become rows.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from edgepress.coding.stream import Header, chunk, find_chunks
from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

_VALUES = 40_000  # about so many in a chunk: a few chunks for a small picture, of which one costs 40 bytes
_KEPT = 4_000_000  # values of decoded chunks that are kept


class Coder(Protocol):
    """What makes a chunk's bytes: int16 ``[latents, rows, columns]`` ↔ a body."""

    def encode(self, values: Array) -> bytes: ...

    def decode(self, body: bytes, rows: int, columns: int) -> Array: ...


def layout(extents: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a stream whose codes have these extents."""
    return (1, extents[0]) if len(extents) == 1 else (math.prod(extents[:-1]), extents[-1])


def step_of(latents: int, extents: tuple[int, ...]) -> int:
    """Rows (columns, where there is one row) in a chunk; whole planes, where there are three axes."""
    rows, columns = layout(extents)
    if rows == 1:
        return max(1, min(columns, _VALUES // latents))
    unit = extents[1] if len(extents) == 3 else 1
    count = max(1, round(_VALUES / (latents * columns * unit)))
    return min(rows, unit * count)


def pieces(header: Header, bands: Iterable[Array], coder: Coder) -> Iterator[bytes]:
    """A stream's bytes from bands of codes that follow each other along the first axis."""
    yield header.to_bytes()
    number, waiting, have = 0, list[Array](), 0
    for band in bands:
        flat = band.reshape(header.channels, *((1, -1) if header.rows == 1 else (-1, header.columns)))
        waiting.append(flat)
        have += flat.size // header.channels
        while number < header.chunks and have >= _size(header, number):
            joined = np.concatenate(waiting, _along(header)) if len(waiting) > 1 else waiting[0]
            first, rest = np.split(joined, [_length(header, number)], _along(header))
            yield chunk(number, coder.encode(np.ascontiguousarray(first)))
            waiting, have, number = [rest], have - _size(header, number), number + 1


def _along(header: Header) -> int:
    """The axis of ``[latents, rows, columns]`` that chunks follow each other on."""
    return 1 if header.rows > 1 else 2


def _length(header: Header, number: int) -> int:
    """Of a chunk along that axis."""
    return header.extent(number)[2 * _along(header) - 1]


def _size(header: Header, number: int) -> int:
    """Codes of each channel in a chunk."""
    _, rows, _, columns = header.extent(number)
    return rows * columns


class Codes:
    """The codes of a stream, decoded where they are asked for.

    Attributes:
        lost: numbers of damaged chunks that were met; their codes are 0.
    """

    def __init__(self, data: bytes | memoryview, header: Header, coder: Coder, extents: tuple[int, ...]) -> None:
        self._data, self._header, self._coder, self._extents = data, header, coder, extents
        self._found = find_chunks(data, header)
        self._decoded: OrderedDict[int, Array] = OrderedDict()
        self.lost: set[int] = set()

    def read(self, first: int, end: int) -> Array:
        """int16 ``[latents, end − first, *other extents]``."""
        header = self._header
        unit = math.prod(self._extents[1:-1])
        low, high = first * unit, end * unit
        parts = []
        for number in range(low // header.step, -(-high // header.step)):
            start = number * header.step
            values = self._chunk(number)
            along = slice(max(0, low - start), high - start)
            parts.append(values[:, along] if header.rows > 1 else values[:, :, along])
        joined = np.concatenate(parts, 1 if header.rows > 1 else 2) if len(parts) > 1 else parts[0]
        return joined.reshape(header.channels, end - first, *self._extents[1:])

    def _chunk(self, number: int) -> Array:
        if number in self._decoded:
            self._decoded.move_to_end(number)
            return self._decoded[number]
        _, rows, _, columns = self._header.extent(number)
        values = self._undamaged(number, rows, columns)
        if values is None:
            self.lost.add(number)
            values = np.zeros((self._header.channels, rows, columns), np.int16)
        while self._decoded and sum(each.size for each in self._decoded.values()) + values.size > _KEPT:
            self._decoded.popitem(last=False)
        self._decoded[number] = values
        return values

    def _undamaged(self, number: int, rows: int, columns: int) -> Array | None:
        if number not in self._found:
            return None
        start, length = self._found[number]
        try:
            return self._coder.decode(bytes(self._data[start : start + length]), rows, columns)
        except DataError:  # the right checksum over a body that is none
            return None
