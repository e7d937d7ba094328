"""A stream's samples, band by band, and what damage took of them."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgepress.coding.stream import MARK, Header
from edgepress.errors import DataError
from edgepress.runtimes.codec_decode import sample_bands, tiling
from edgepress.runtimes.codec_form import CodecForm, form_of
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Array, Storage
from edgepress.runtimes.codec_stream import Window

Stream = bytes | bytearray | memoryview | str | Path

_MOST_SAMPLES = 1 << 31  # that are decoded into memory at once
_LARGEST_PIPE = 1 << 30


@dataclass(frozen=True, eq=False)
class Recovered:
    """What a stream gave, though it may be damaged.

    Attributes:
        array: what was decoded; where something was lost, it is made of codes of 0: grey, or silence.
        lost: first and end of each gap, in rows of a picture, samples of a recording or frames of a volume.
        damage: the same in words; empty where nothing is lost.
    """

    array: Array
    lost: tuple[tuple[int, int], ...]
    damage: str


@dataclass(frozen=True, eq=False)
class Decoding:
    """A stream that is about to be decoded.

    Attributes:
        header: the stream's, which says of what shape and kind it is.
        dtype: of what comes out.
        along: the axis of the shape that pieces follow each other on.
        what: stands along it: samples, rows or frames.
        count: of the pieces.
        pieces: what comes out: the place of the first, and the piece. They can be gone through once.
        lost: first and end of each gap along that axis; complete once all pieces were read.
    """

    header: Header
    dtype: np.dtype[Any]
    along: int
    what: str
    count: int
    pieces: Iterator[tuple[int, Array]]
    lost: list[tuple[int, int]] = field(default_factory=list)

    def damage(self) -> str:
        """What is lost, in words; empty where nothing is."""
        if not self.lost:
            return ""
        places = ", ".join(f"{first} to {end - 1}" for first, end in self.lost)
        return f"the stream is damaged: {self.what} {places} of {self.header.shape[self.along]} are lost"

    def whole(self) -> Recovered:
        """Everything in memory.

        Raises:
            DataError: it is too large for that, or nothing is left of it.
        """
        shape = self.header.shape
        if int(np.prod(shape, dtype=object)) > _MOST_SAMPLES:
            raise DataError(
                f"the stream holds an array of shape {shape}, too large for memory; decode it into a .npy file: "
                "edgepress decode -o FILE.npy"
            )
        found = np.empty(shape, self.dtype)
        for first, piece in self.pieces:
            end = first + piece.shape[self.along]
            found[(slice(None),) * self.along + (slice(first, end),)] = piece
        return Recovered(found, tuple(self.lost), self.damage())


def decoding(
    form: CodecForm, run: TileRun, header: Header, blocks: Iterable[tuple[int, Array | None]]
) -> Decoding:
    """A stream to be decoded.

    Args:
        header: one that fits the codec.
        blocks: the stream's chunks, decoded, in their order; None for those that are lost.
    """
    extents, channels = form_of(header, form.codec.axes)
    storage = Storage(header.kind, channels)
    cut = tiling(form, run, extents)
    window = Window(header, blocks, form.codes(extents))
    lost: list[tuple[int, int]] = []

    def pieces() -> Iterator[tuple[int, Array]]:
        yield from sample_bands(form, run, window.read, cut, extents, header.rate, storage)
        factor = form.codec.factor
        lost.extend((factor * low, min(factor * high, extents[0])) for low, high in window.lost)
        if window.chunks_lost == header.chunks:
            raise nothing_left()

    along = 0 if header.kind == "picture" or not channels else 1
    what = ("samples", "rows", "frames")[form.codec.axes - 1]
    return Decoding(header, storage.dtype, along, what, cut.count, pieces(), lost)


def nothing_left() -> DataError:
    """What is said of a stream whose chunks are all damaged."""
    return DataError("nothing of the stream can be decoded, every chunk is damaged; get it again")


def is_stream(value: Stream) -> bool:
    """Whether a file or bytes begin as streams do; a file that cannot be read does not."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value[: len(MARK)]) == MARK
    try:
        with Path(value).open("rb") as file:
            return file.read(len(MARK)) == MARK
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def stream_bytes(stream: Stream) -> Iterator[bytes]:
    """The bytes of a stream; a file is mapped.

    Raises:
        DataError: the file cannot be read.
    """
    if not isinstance(stream, (str, Path)):
        yield bytes(stream)
        return
    path = Path(stream)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size:
                # It has what is used of bytes: slices, find, the buffer.
                data = cast(bytes, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            else:
                data = file.read(_LARGEST_PIPE)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}); check that it is a file you may read") from None
    yield data
