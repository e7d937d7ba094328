"""The stream: a header that says what it is, and chunks that can be read, lost and decoded one by one.

::

    header │ chunk │ chunk │ …
    header: "EPCS", version, kind, rate, length of the sizes (1 byte each) │ identity (16) │ sizes │ CRC-32 of all
    sizes:  channels, rows, columns, step, sampling, then the shape of what was encoded
    chunk:  2 bytes of mark │ number, bytes of the body │ CRC-32 of both and the body │ body

Numbers of four bytes are little-endian; sizes, numbers and lengths are LEB128, as short as can be. What a codec sends
is ``[channels, rows, columns]``; a chunk holds so many rows of it, or, where there is one row, so many columns. A
damaged chunk is found by its checksum, and the next one by its mark, so that only what was hit is lost.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

from edgepress.coding.leb import read_leb, write_leb
from edgepress.errors import DataError

Kind = Literal["array", "picture", "recording"]

MARK, CHUNK_MARK = b"EPCS", b"\xe5\xc7"
VERSION = 1
IDENTITY_BYTES = 16
MOST_VALUES = 1 << 36
MOST_IN_CHUNK = 1 << 24
MOST_CHUNKS = 1 << 24
MOST_HEADER = 8 + IDENTITY_BYTES + 9 * 5 + 4  # bytes
_FIXED = 8 + IDENTITY_BYTES
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
        shape: of what was encoded: one to four numbers.
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
        _, rows, _, columns = self.extent(0)
        if self.channels * rows * columns > MOST_IN_CHUNK:
            raise ValueError(f"a chunk of {self.channels} × {rows} × {columns}")

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
        sizes = b"".join(
            write_leb(size)
            for size in (self.channels, self.rows, self.columns, self.step, self.sampling, *self.shape)
        )
        kind = get_args(Kind).index(self.kind)
        start = MARK + bytes((VERSION, kind, self.rate, len(sizes))) + self.identity + sizes
        return start + zlib.crc32(start).to_bytes(4, "little")


def read_header(data: bytes) -> Header:
    """The header of a stream, from its first ``MOST_HEADER`` bytes or more.

    Raises:
        DataError: it is none, of a later version, or damaged.
    """
    if data[:4] != MARK:
        raise DataError("this is no edgepress stream; encode makes one")
    if len(data) < _FIXED or len(data) < (end := _FIXED + data[7]) + 4:
        raise DataError("the stream ends within its header; get it again")
    if data[4] != VERSION:
        raise DataError(
            f"the stream has the version {data[4]}, this edgepress reads {VERSION}; update edgepress"
        )
    if zlib.crc32(data[:end]) != int.from_bytes(data[end : end + 4], "little"):
        raise DataError("the stream's header is damaged; get it again")
    try:
        header = _header_of(data[:end])
    except ValueError as error:
        raise DataError(f"the stream's header makes no sense ({error}); get it again") from None
    return header


def _header_of(data: bytes) -> Header:
    sizes, at = [], _FIXED
    while at < len(data):
        size, at = read_leb(data, at)
        sizes.append(size)
    kinds = get_args(Kind)
    if len(sizes) < 6 or data[5] >= len(kinds):
        raise ValueError(f"kind {data[5]}, {len(sizes)} sizes")
    channels, rows, columns, step, sampling, *shape = sizes
    identity = data[8:_FIXED]
    return Header(identity, kinds[data[5]], data[6], channels, rows, columns, tuple(shape), sampling, step)


def chunk(number: int, body: bytes) -> bytes:
    """A chunk as it stands in a stream."""
    start = write_leb(number) + write_leb(len(body))
    return CHUNK_MARK + start + zlib.crc32(body, zlib.crc32(start)).to_bytes(4, "little") + body


def find_chunks(data: bytes, header: Header) -> dict[int, tuple[int, int]]:
    """Where the bodies of the undamaged chunks lie, by number: offset and length; others are lost.

    Looks at each byte a few times at most, whatever the data hold.
    """
    found: dict[int, tuple[int, int]] = {}
    at, budget = len(header.to_bytes()), 4 * len(data)
    view = memoryview(data)
    while (at := data.find(CHUNK_MARK, at)) >= 0:
        at += len(CHUNK_MARK)
        try:
            number, middle = read_leb(data, at)
            length, end = read_leb(data, middle)
        except ValueError:
            continue
        start = end + 4
        if number >= header.chunks or number in found or length > min(len(data) - start, budget):
            continue
        if length <= _most_body(header, number):
            budget -= length
            checksum = zlib.crc32(view[start : start + length], zlib.crc32(view[at:end]))
            if checksum == int.from_bytes(view[end:start], "little"):
                found[number] = (start, length)
                at = start + length
    return found


def _most_body(header: Header, number: int) -> int:
    _, rows, _, columns = header.extent(number)
    return _BODY_HEAD + _LONGEST * header.channels * rows * columns
