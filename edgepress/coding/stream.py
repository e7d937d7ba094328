"""The stream: a header that says what it is, and chunks that can be read, lost and decoded one by one.

::

    header (84 bytes, its CRC-32 last) │ chunk │ chunk │ …
    chunk: "EPCK", number, bytes of the body, CRC-32 of these three, CRC-32 of the body (4 bytes each) │ body

Numbers are little-endian. What a codec sends is ``[channels, rows, columns]``; a chunk holds so many rows of it,
or, where there is one row, so many columns. A damaged chunk is found by its checksum, and the next one by its
mark, so that only what was hit is lost.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal, get_args

from edgepress.errors import DataError

Kind = Literal["array", "picture", "recording"]

MARK, CHUNK_MARK = b"EPCS", b"EPCK"
VERSION = 1
IDENTITY_BYTES = 16
MOST_VALUES = 1 << 36
MOST_CHUNKS = 1 << 24
_HEADER = struct.Struct("<4s4B16s3I4IIIII12xI")
_CHUNK = struct.Struct("<4sIIII")
_LONGEST = 5  # bytes that a value takes at most, and a body's own head
_BODY_HEAD = 20


@dataclass(frozen=True)
class Header:
    """What a stream is.

    Attributes:
        identity: 16 bytes of the codec's, so that no other decodes it.
        kind: what was encoded.
        rate: which of the codec's rates.
        channels, rows, columns: of the integers sent.
        shape: of what was encoded: four numbers, the first ones 1 where there are fewer.
        axes: how many of them count.
        sampling: Hz of a recording, 0 otherwise.
        step: rows (or columns, where there is one row) in a chunk.
    """

    identity: bytes
    kind: Kind
    rate: int
    channels: int
    rows: int
    columns: int
    shape: tuple[int, ...]
    sampling: int
    step: int

    def __post_init__(self) -> None:
        if len(self.identity) != IDENTITY_BYTES or self.kind not in get_args(Kind):
            raise ValueError(f"an identity of {len(self.identity)} bytes, or the kind {self.kind!r}")
        sizes = (self.channels, self.rows, self.columns, self.step)
        if (
            not all(1 <= size < 1 << 32 for size in sizes)
            or self.channels * self.rows * self.columns > MOST_VALUES
        ):
            raise ValueError(
                f"a stream of {self.channels} × {self.rows} × {self.columns} in steps of {self.step}"
            )
        if not 1 <= len(self.shape) <= 4 or not all(1 <= size < 1 << 32 for size in self.shape):
            raise ValueError(f"what was encoded has the shape {self.shape}")
        if not (0 <= self.rate < 256 and 0 <= self.sampling < 1 << 32) or self.chunks > MOST_CHUNKS:
            raise ValueError(f"rate {self.rate}, {self.sampling} Hz, {self.chunks} chunks")

    @property
    def chunks(self) -> int:
        """How many there are."""
        return -(-(self.rows if self.rows > 1 else self.columns) // self.step)

    def extent(self, number: int) -> tuple[int, int, int, int]:
        """A chunk's first row, its rows, its first column, its columns."""
        first = number * self.step
        if self.rows > 1:
            return first, min(self.step, self.rows - first), 0, self.columns
        return 0, 1, first, min(self.step, self.columns - first)

    def to_bytes(self) -> bytes:
        """The header as it stands in a stream."""
        shape = (*(1,) * (4 - len(self.shape)), *self.shape)
        kind = get_args(Kind).index(self.kind)
        start = _HEADER.pack(
            MARK, VERSION, kind, self.rate, len(self.shape), self.identity, self.channels, self.rows, self.columns,
            *shape, self.sampling, self.step, self.chunks, 0, 0,
        )[:-4]  # fmt: skip
        return start + zlib.crc32(start).to_bytes(4, "little")


HEADER_BYTES = _HEADER.size
CHUNK_BYTES = _CHUNK.size


def read_header(data: bytes) -> Header:
    """The header of a stream.

    Raises:
        DataError: it is none, of a later version, or damaged.
    """
    if data[:4] != MARK:
        raise DataError("this is no edgepress stream; encode makes one")
    if len(data) < HEADER_BYTES:
        raise DataError("the stream ends within its header; get it again")
    _, version, kind, rate, axes, identity, channels, rows, columns, *rest = _HEADER.unpack_from(data)
    shape, (sampling, step, chunks, _, checksum) = tuple(rest[:4]), rest[4:]
    if version != VERSION:
        raise DataError(
            f"the stream has the version {version}, this edgepress reads {VERSION}; update edgepress"
        )
    if zlib.crc32(data[: HEADER_BYTES - 4]) != checksum:
        raise DataError("the stream's header is damaged; get it again")
    kinds = get_args(Kind)
    try:
        if kind >= len(kinds) or not 1 <= axes <= 4:
            raise ValueError(f"kind {kind}, {axes} axes")
        header = Header(
            identity, kinds[kind], rate, channels, rows, columns, shape[4 - axes :], sampling, step
        )
        if header.chunks != chunks:
            raise ValueError(f"{chunks} chunks in place of {header.chunks}")
    except ValueError as error:
        raise DataError(f"the stream's header makes no sense ({error}); get it again") from None
    return header


def chunk(number: int, body: bytes) -> bytes:
    """A chunk as it stands in a stream."""
    start = struct.pack("<4sII", CHUNK_MARK, number, len(body))
    return start + struct.pack("<II", zlib.crc32(start), zlib.crc32(body)) + body


def find_chunks(data: bytes, header: Header) -> dict[int, tuple[int, int]]:
    """Where the bodies of the undamaged chunks lie, by number: offset and length; others are lost.

    Looks at each byte a few times at most, whatever the data hold.
    """
    found: dict[int, tuple[int, int]] = {}
    at, budget = HEADER_BYTES, 4 * len(data)
    while (at := data.find(CHUNK_MARK, at)) >= 0 and at + CHUNK_BYTES <= len(data):
        _, number, length, first, second = _CHUNK.unpack_from(data, at)
        start = at + CHUNK_BYTES
        fits = zlib.crc32(data[at : at + 12]) == first and number < header.chunks and number not in found
        if fits and length <= min(len(data) - start, _most_body(header, number)) and length <= budget:
            budget -= length
            if zlib.crc32(memoryview(data)[start : start + length]) == second:
                found[number] = (start, length)
                at = start + length
                continue
        at += 1
    return found


def _most_body(header: Header, number: int) -> int:
    _, rows, _, columns = header.extent(number)
    return _BODY_HEAD + _LONGEST * header.channels * rows * columns
