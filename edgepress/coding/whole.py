"""From integers to a stream and back: chunks encoded and decoded beside each other, damaged ones named."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np

from edgepress.coding.coder import Coder, OpenCoder
from edgepress.coding.stream import MOST_IN_CHUNK, Header, chunk, find_chunks
from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

Task = TypeVar("Task")
Done = TypeVar("Done")

VALUES_ALONE = 18_000  # a quarter of what one photograph of 768 × 512 pixels has
MOST_AT_ONCE = 1 << 30


def step_of(channels: int, rows: int, columns: int) -> int:
    """How many rows a chunk should hold (columns, where there is one row).

    A small picture has few chunks, as each one's first row is predicted from less; four times the values have twice
    the chunks, twice as large, so that a large picture loses little by them and still keeps all processors busy.
    """
    length, across = (rows, columns) if rows > 1 else (columns, rows)
    chunks = max(1, round(math.sqrt(channels * rows * columns / VALUES_ALONE)))
    return max(1, min(-(-length // chunks), MOST_IN_CHUNK // (channels * across)))


@dataclass(frozen=True)
class Decoded:
    """What a stream holds.

    Attributes:
        header: what the stream is.
        values: int16 ``[channels, rows, columns]``; 0 where a chunk is lost.
        lost: the numbers of the chunks that are damaged or missing.
    """

    header: Header
    values: Array
    lost: tuple[int, ...]

    def says(self) -> str:
        """What is lost, in words; empty where nothing is."""
        if not self.lost:
            return ""
        extents = [self.header.extent(number) for number in self.lost]
        kind, spans = "rows", [(first, first + count) for first, count, _, _ in extents]
        if self.header.rows == 1:
            kind, spans = "columns", [(first, first + count) for _, _, first, count in extents]
        joined: list[tuple[int, int]] = []
        for first, end in spans:
            if joined and joined[-1][1] == first:
                first = joined.pop()[0]
            joined.append((first, end))
        places = ", ".join(f"{first} to {end - 1}" for first, end in joined)
        return f"{len(self.lost)} of {self.header.chunks} chunks are damaged or missing: {kind} {places} of the latents"


def encode_blocks(
    header: Header, blocks: Iterable[Array], open_coder: OpenCoder, threads: int = 1
) -> Iterator[bytes]:
    """A stream, piece by piece: first its header, then each chunk as soon as its rows are there.

    Args:
        header: what the stream is; its ``step`` decides the chunks.
        blocks: int16 ``[channels, rows, columns]``, one below the other (beside the other, where the stream has one
            row), of any sizes; together all that the header promises.
        open_coder: makes a coder for the codec's model at this rate.
        threads: how many chunks are encoded at the same time.

    Raises:
        ValueError: the blocks do not fit the header, or a value is too large.
    """
    yield header.to_bytes()

    def encoded(coder: Coder, task: tuple[int, Array]) -> bytes:
        return chunk(task[0], coder.encode(task[1]))

    yield from _beside(_cut(header, blocks), encoded, open_coder, threads)


def encode(header: Header, values: Array, open_coder: OpenCoder, threads: int = 1) -> bytes:
    """The stream of int16 ``[channels, rows, columns]``: see :func:`encode_blocks`."""
    return b"".join(encode_blocks(header, [values], open_coder, threads))


def decode_blocks(
    data: bytes, header: Header, open_coder: OpenCoder, threads: int = 1
) -> Iterator[tuple[int, Array | None]]:
    """The chunks of a stream, in their order: number and values, or None where it is damaged or missing.

    Args:
        data: the whole stream.
        header: :func:`edgepress.coding.stream.read_header` of it; the caller has made sure that the identity is
            his codec's.
        open_coder: makes a coder for the codec's model at the header's rate.
        threads: how many chunks are decoded at the same time.
    """
    found = find_chunks(data, header)

    def decoded(coder: Coder, number: int) -> tuple[int, Array | None]:
        if number not in found:
            return number, None
        start, length = found[number]
        _, rows, _, columns = header.extent(number)
        try:
            return number, coder.decode(data[start : start + length], rows, columns)
        except DataError:
            return number, None

    yield from _beside(iter(range(header.chunks)), decoded, open_coder, threads)


def decode(data: bytes, header: Header, open_coder: OpenCoder, threads: int = 1) -> Decoded:
    """All that a stream holds, whatever of it is damaged: see :func:`decode_blocks`.

    Raises:
        DataError: every chunk is lost, or there are more than ``MOST_AT_ONCE`` values.
    """
    if header.channels * header.rows * header.columns > MOST_AT_ONCE:
        raise DataError("the stream holds more than can be decoded at once; decode it block by block")
    values = np.zeros((header.channels, header.rows, header.columns), np.int16)
    lost = []
    for number, block in decode_blocks(data, header, open_coder, threads):
        row, rows, column, columns = header.extent(number)
        if block is None:
            lost.append(number)
        else:
            values[:, row : row + rows, column : column + columns] = block
    if len(lost) == header.chunks:
        raise DataError("nothing of the stream can be decoded, every chunk is damaged; get it again")
    return Decoded(header, values, tuple(lost))


def _cut(header: Header, blocks: Iterable[Array]) -> Iterator[tuple[int, Array]]:
    """Chunks from blocks: numbers and values."""
    axis = 1 if header.rows > 1 else 2
    whole = (header.channels, header.rows, header.columns)
    kept: list[Array] = []
    number = held = 0
    for block in blocks:
        if block.ndim != 3 or any(block.shape[k] != whole[k] for k in range(3) if k != axis):
            raise ValueError(f"a block of shape {block.shape} for a stream of {whole}")
        kept.append(block)
        held += block.shape[axis]
        while number < header.chunks and held >= (size := header.extent(number)[3 if axis == 2 else 1]):
            joined = np.concatenate(kept, axis) if len(kept) > 1 else kept[0]
            first, rest = np.split(joined, [size], axis)
            yield number, first
            kept, held, number = [rest], held - size, number + 1
    if number != header.chunks or held:
        raise ValueError(f"the blocks hold {number} chunks and {held} more rows for {header.chunks} chunks")


def _beside(
    tasks: Iterator[Task], work: Callable[[Coder, Task], Done], open_coder: OpenCoder, threads: int
) -> Iterator[Done]:
    """The results in the tasks' order, several made at the same time, no more than a few waiting."""
    if threads <= 1:
        coder = open_coder()
        yield from (work(coder, task) for task in tasks)
        return
    coders: SimpleQueue[Coder] = SimpleQueue()
    for _ in range(threads):
        coders.put(open_coder())

    def run(task: Task) -> Done:
        coder = coders.get()
        try:
            return work(coder, task)
        finally:
            coders.put(coder)

    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Done]] = deque()
        for task in tasks:
            waiting.append(pool.submit(run, task))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
