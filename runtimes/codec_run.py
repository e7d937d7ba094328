"""One graph of a codec, run on tiles: its buffers are made once and serve every tile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from edgepress.bundle import Part
from edgepress.errors import BundleError
from edgepress.runtimes.codec_tiles import Reach
from edgepress.runtimes.engine import Engine

Array = np.ndarray[Any, Any]


class TileRun:
    """A graph of one input and one output, both float32 ``[1, channels, *extents]``.

    Args:
        engine: runs it.
        part: says what its tensors are called, and their shapes.
        reach: what a tile reads for each of its results, and around them.
        channels: of the input and of the output.
        made: what a tile gives along each axis for each result: the codec's factor in the decoder.
        free: whether the engine takes smaller tiles than the one that the part lists.

    Attributes:
        lock: to be held from filling a tile until its results are copied.

    Raises:
        BundleError: the part is no such graph.
    """

    def __init__(
        self, engine: Engine, part: Part, reach: Reach, channels: tuple[int, int], made: int, free: bool
    ) -> None:
        shapes = [tensor.shape for tensor in (*part.inputs, *part.outputs)]
        types = {tensor.dtype for tensor in (*part.inputs, *part.outputs)}
        if len(shapes) != 2 or types != {"float32"}:
            raise BundleError(f"a codec's graph has one float input and output, not {shapes}; build it again")
        tile = reach.results(shapes[0][2:])
        wanted = [
            (1, channels[0], *reach.extents(tile)),
            (1, channels[1], *(made * extent for extent in tile)),
        ]
        if shapes != wanted or not 1 <= len(tile) <= 3 or not reach.fits(tile):
            raise BundleError(
                f"a codec's graph takes {shapes[0]} and gives {shapes[1]}, which are no tiles; build the codec again"
            )
        self._engine, self._reach, self._channels, self._made = engine, reach, channels, made
        self._names = (part.inputs[0].name, part.outputs[0].name)
        self._tile, self._free = tile, free
        self.lock = threading.Lock()
        self._bound: tuple[tuple[int, ...], Array, Callable[[], Array]] | None = None

    def tile(self, results: tuple[int, ...]) -> tuple[int, ...]:
        """Results of one tile along each axis, where so many are wanted in all."""
        if not self._free:
            return self._tile
        return tuple(min(size, most) for size, most in zip(results, self._tile, strict=True))

    def at(self, tile: tuple[int, ...]) -> tuple[Array, Callable[[], Array]]:
        """The buffer of a tile's input, ``[channels, *extents]``; and what runs on it and gives the output alike."""
        if self._bound is None or self._bound[0] != tile:
            self._bound = (tile, *self._bind(tile))
        return self._bound[1], self._bound[2]

    def _bind(self, tile: tuple[int, ...]) -> tuple[Array, Callable[[], Array]]:
        bind = getattr(self._engine, "bind", None)
        shape = (1, self._channels[0], *self._reach.extents(tile))
        name, gives = self._names
        if bind is None:
            buffer = np.zeros(shape, np.float32)
            return buffer[0], lambda: self._engine.run({name: buffer})[gives][0]
        from edgepress.runtimes.native import aligned

        def floats(shape: tuple[int, ...]) -> Array:
            buffer: Array = aligned(4 * int(np.prod(shape))).view(np.float32).reshape(shape)
            return buffer

        buffer, result = floats(shape), floats((1, self._channels[1], *(self._made * size for size in tile)))
        made: Array = result[0]
        call = bind({name: buffer}, {gives: result})  # compiled code reads and writes where the arrays lie

        def run() -> Array:
            call()
            return made

        return buffer[0], run
