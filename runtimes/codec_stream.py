"""A codec's codes and a stream's rows and columns: one axis is columns of one row; of three, two make the rows."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from edgepress.coding.stream import Header
from edgepress.runtimes.codec_tiles import Array


def layout(extents: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a stream whose codes have these extents."""
    return (1, extents[0]) if len(extents) == 1 else (math.prod(extents[:-1]), extents[-1])


def as_rows(band: Array) -> Array:
    """Codes ``[latents, *extents]`` as a block of a stream, ``[latents, rows, columns]``."""
    return band.reshape(len(band), *layout(band.shape[1:]))


class Window:
    """The codes of a stream, read once from its front to its end, with what was read last still at hand.

    Args:
        header: the stream's.
        blocks: its chunks in their order, number and values; None for one that is lost, whose codes are 0 here.
        extents: of the codes.

    Attributes:
        lost: first and end of each gap met so far, along the first axis of the codes.
        chunks_lost: how many chunks that was.
    """

    def __init__(
        self, header: Header, blocks: Iterable[tuple[int, Array | None]], extents: tuple[int, ...]
    ) -> None:
        self._header, self._blocks, self._extents = header, iter(blocks), extents
        self._along = 1 if header.rows > 1 else 2
        length = header.rows if header.rows > 1 else header.columns
        self._unit = (
            length // extents[0]
        )  # rows (columns, where there is one row) for one place of the first axis
        self._first = self._end = 0
        self._held: list[Array] = []
        self.lost: list[tuple[int, int]] = []
        self.chunks_lost = 0

    def read(self, first: int, end: int) -> Array:
        """int16 ``[latents, end - first, *other extents]``; ``first`` never goes back."""
        low, high = first * self._unit, end * self._unit
        while self._end < high:
            self._take()
        joined = np.concatenate(self._held, self._along) if len(self._held) > 1 else self._held[0]
        rest = joined[:, low - self._first :] if self._along == 1 else joined[:, :, low - self._first :]
        self._held, self._first = [rest], low
        count = high - low
        found = rest[:, :count] if self._along == 1 else rest[:, :, :count]
        return found.reshape(self._header.channels, end - first, *self._extents[1:])

    def _take(self) -> None:
        number, block = next(self._blocks)
        _, rows, _, columns = self._header.extent(number)
        if block is None:
            block = np.zeros((self._header.channels, rows, columns), np.int16)
            self._lose(number)
        self._held.append(block)
        self._end += block.shape[self._along]

    def _lose(self, number: int) -> None:
        self.chunks_lost += 1
        first = number * self._header.step
        end = first + self._header.extent(number)[2 * self._along - 1]
        place, behind = first // self._unit, -(-end // self._unit)
        if self.lost and self.lost[-1][1] >= place:
            place = self.lost.pop()[0]
        self.lost.append((place, behind))
