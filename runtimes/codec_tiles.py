"""Tiles with a halo: what is encoded or decoded is of any size, a compiled graph takes one.

A tile is read with its surroundings, and its result equals what the whole would give there. Beyond the edges stands
what the codec was trained with: samples mirrored, latents as a mirrored picture's lowest band is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, Any]
Convert = Callable[[Array, Array], None]
"""Writes one block, in whatever form it is stored, into another as float32."""


class Axis(Protocol):
    """One axis of what is cut into tiles.

    Attributes:
        size: how much there is.
    """

    @property
    def size(self) -> int: ...

    def places(self, first: int, count: int) -> Array:
        """Where in ``0 … size − 1`` stands what is at ``first``, ``first + 1`` … , beyond the edges too."""
        ...


@dataclass(frozen=True)
class SampleAxis:
    """Samples: brought up to a multiple of ``factor`` by repeating the last, then mirrored about the outermost.

    Attributes:
        size: samples.
        factor: samples for one code.
        after: how far beyond the end a tile's halo reaches; further on is what no result depends on.
    """

    size: int
    factor: int
    after: int

    def places(self, first: int, count: int) -> Array:
        """See :class:`Axis`."""
        filled = -(-self.size // self.factor) * self.factor
        period = max(1, 2 * (filled - 1))
        found = np.minimum(np.arange(first, first + count), filled + self.after - 1) % period
        places: Array = np.minimum(np.minimum(found, period - found), self.size - 1)
        return places


@dataclass(frozen=True)
class CodeAxis:
    """Latents: mirrored about the first at the front, and with the last repeated at the back.

    That is how the lowest band of a mirrored signal of even length goes on.
    """

    size: int
    after: int

    def places(self, first: int, count: int) -> Array:
        """See :class:`Axis`."""
        period = 2 * self.size - 1
        found = np.minimum(np.arange(first, first + count), self.size + self.after - 1) % period
        places: Array = np.minimum(found, period - found)
        return places


@dataclass(frozen=True)
class Reach:
    """What results are made of, along each axis.

    Attributes:
        before, after: values around a tile's own that it reads.
        scale: values for each result: the codec's factor in the encoder, 1 in the decoder.
    """

    before: int
    after: int
    scale: int

    def extents(self, tile: Sequence[int]) -> tuple[int, ...]:
        """What a tile of so many results reads."""
        return tuple(self.scale * size + self.before + self.after for size in tile)

    def results(self, extents: Sequence[int]) -> tuple[int, ...]:
        """How many results a tile gives that reads so much."""
        return tuple((extent - self.before - self.after) // self.scale for extent in extents)

    def fits(self, tile: Sequence[int]) -> bool:
        """Whether what is mirrored beyond an edge always lies in the very tile that needs it."""
        return self.after < self.scale + self.before and all(
            size > 0 and self.before < self.scale * size + self.after for size in tile
        )


@dataclass(frozen=True)
class Tiling:
    """How results are cut into tiles, and what a tile reads.

    Attributes:
        axes: of what is read.
        results: how many results there are along each axis.
        tile: how many of them a tile gives.
        reach: what it reads for them.
    """

    axes: tuple[Axis, ...]
    results: tuple[int, ...]
    tile: tuple[int, ...]
    reach: Reach

    @property
    def count(self) -> int:
        """How many bands there are."""
        return -(-self.results[0] // self.tile[0])

    def bands(self) -> Iterator[tuple[int, int, int, int]]:
        """Along the first axis: a band's first result, how many, and the first and the end of what it reads."""
        size, (extent, *_) = self.axes[0].size, self.reach.extents(self.tile)
        for first in range(0, self.results[0], self.tile[0]):
            start = self.reach.scale * first - self.reach.before
            count = min(self.tile[0], self.results[0] - first)
            yield first, count, max(0, start), min(size, start + extent)

    def tiles(self, first: int) -> Iterator[tuple[int, ...]]:
        """The tiles of the band that begins with the result ``first``: their first results along each axis."""
        others = [range(0, size, step) for size, step in zip(self.results[1:], self.tile[1:], strict=True)]
        yield from product((first,), *others)

    def kept(
        self, corner: Sequence[int], scale: int = 1, ends: Sequence[int] | None = None
    ) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        """Where a tile's results stand in its band, and which of them are of use.

        Args:
            corner: the tile's first results along each axis.
            scale: what a result is made of, along each axis: the codec's factor in the decoder.
            ends: how much there is along each axis in these terms; None takes the number of results.
        """
        place, kept = [], []
        for number, (first, extent, end) in enumerate(
            zip(corner, self.tile, ends or self.results, strict=True)
        ):
            count = min(scale * extent, end - scale * first)
            start = 0 if number == 0 else scale * first
            place.append(slice(start, start + count))
            kept.append(slice(0, count))
        return tuple(place), tuple(kept)

    def fill(self, tile: Array, block: Array, start: int, corner: Sequence[int], convert: Convert) -> None:
        """Write what a tile reads.

        Args:
            tile: float32 ``[channels, *extents]``, written.
            block: ``[channels, n, *sizes of the other axes]``: the band's, from ``start`` on along the first axis.
            corner: the tile's first results along each axis.
            convert: of the block's values.
        """
        inner, source, mirrored = list[Any](), list[Any](), list[Array | None]()
        extents = self.reach.extents(self.tile)
        for number, (axis, place, extent) in enumerate(zip(self.axes, corner, extents, strict=True)):
            first = self.reach.scale * place - self.reach.before
            low, high = max(0, -first), min(extent, axis.size - first)
            inner.append(slice(low, high))
            shift = first - (start if number == 0 else 0)
            source.append(slice(shift + low, shift + high))
            mirrored.append(axis.places(first, extent) - first if (low, high) != (0, extent) else None)
        convert(block[(slice(None), *source)], tile[(slice(None), *inner)])
        for number, places in enumerate(mirrored):
            if places is not None:
                before: list[Any] = [slice(None)] * (number + 1)
                behind = inner[number + 1 :]
                for edge in (slice(0, inner[number].start), slice(inner[number].stop, len(places))):
                    tile[(*before, edge, *behind)] = tile[(*before, places[edge], *behind)]
