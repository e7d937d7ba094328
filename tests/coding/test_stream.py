"""Streams: headers that come back, chunks that are lost one by one, and bytes that mean harm."""

from __future__ import annotations

import dataclasses
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding.leb import write_leb
from edgepress.coding.stream import CHUNK_MARK, MOST_HEADER, Header, chunk, find_chunks, read_header
from edgepress.errors import DataError

HEADER = Header(b"0123456789abcdef", "picture", 1, 12, 64, 96, (3, 512, 768), 0, 16)
HEADER_BYTES = len(HEADER.to_bytes())
CHUNK_BYTES = len(chunk(0, bytes(40)))


def _stream() -> bytes:
    return HEADER.to_bytes() + b"".join(chunk(number, bytes([number]) * 40) for number in range(4))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 900), columns=st.integers(1, 900), step=st.integers(1, 1000),
    shape=st.lists(st.integers(1, 2**32 - 1), min_size=1, max_size=4),
)  # fmt: skip
def test_a_header_comes_back_and_its_chunks_cover_all(
    rows: int, columns: int, step: int, shape: list[int]
) -> None:
    header = Header(bytes(16), "array", 3, 5, rows, columns, tuple(shape), 8000, step)
    assert read_header(header.to_bytes() + b"more") == header and len(header.to_bytes()) <= MOST_HEADER
    extents = [header.extent(number) for number in range(header.chunks)]
    assert sum(extent[1] * extent[3] for extent in extents) == rows * columns
    assert all(min(extent[1], extent[3]) >= 1 for extent in extents)


def test_chunks_are_found() -> None:
    assert list(find_chunks(_stream(), HEADER)) == [0, 1, 2, 3]


@settings(max_examples=150, deadline=None)
@given(where=st.integers(HEADER_BYTES, len(_stream()) - 1), by=st.integers(1, 255))
def test_a_damaged_chunk_is_lost_alone(where: int, by: int) -> None:
    data = bytearray(_stream())
    data[where] ^= by
    lost = (where - HEADER_BYTES) // CHUNK_BYTES
    assert sorted(find_chunks(bytes(data), HEADER)) == [number for number in range(4) if number != lost]


@pytest.mark.parametrize("where", range(HEADER_BYTES))
def test_a_damaged_header_is_refused(where: int) -> None:
    data = bytearray(_stream())
    data[where] ^= 0x41
    with pytest.raises(DataError):
        read_header(bytes(data))


@pytest.mark.parametrize("length", [0, 3, 4, 20, HEADER_BYTES - 1])
def test_a_short_stream_is_refused(length: int) -> None:
    with pytest.raises(DataError, match="stream"):
        read_header(_stream()[:length])


def _signed(data: bytes) -> bytes:
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def test_a_header_is_short() -> None:
    assert HEADER_BYTES <= 40 and CHUNK_BYTES - 40 <= 8


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((4096, 1 << 31, 1 << 31, 1, 0, 1), "a stream of"),
        ((12, 64, 96, 0, 0, 3), "in steps of 0"),
        ((12, 64, 96, 16, 0), "5 sizes"),
        ((12, 64, 96, 16, 0, 1, 1, 1, 1, 1), "the shape"),
        ((12, 64, 96, 16, 0, 1 << 32), "the shape"),
        ((1, 1 << 25, 1, 1, 0, 1), "33554432 chunks"),
        ((4096, 1 << 15, 1, 1 << 15, 0, 1), "a chunk of"),
    ],
)
def test_a_header_of_what_there_cannot_be_is_refused(sizes: tuple[int, ...], says: str) -> None:
    written = b"".join(write_leb(size) for size in sizes)
    data = HEADER.to_bytes()[:7] + bytes([len(written)]) + HEADER.identity + written + bytes(4)
    with pytest.raises(DataError, match=f"makes no sense.*{says}"):
        read_header(_signed(data))


def test_sizes_are_as_short_as_can_be() -> None:
    sizes = b"\x8c\x00" + b"".join(write_leb(size) for size in (64, 96, 16, 0, 3, 512, 768))
    data = HEADER.to_bytes()[:7] + bytes([len(sizes)]) + HEADER.identity + sizes + bytes(4)
    with pytest.raises(DataError, match="longer than need be"):
        read_header(_signed(data))


def test_marks_that_promise_much_are_not_followed_for_ever() -> None:
    """Each promises the rest of the stream: together far more than a few looks at each byte."""
    header = dataclasses.replace(HEADER, step=1, rows=60_000)
    bait = (CHUNK_MARK + write_leb(1) + write_leb(5_000) + bytes(4)) * 100_000
    assert find_chunks(header.to_bytes() + bait, header) == {}
