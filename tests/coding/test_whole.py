"""From integers to a stream and back, in several threads, with damage."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding.coder import PortableCoder, cost
from edgepress.coding.stream import Header, chunk, read_header
from edgepress.coding.table import fit_table
from edgepress.coding.whole import MOST_AT_ONCE, decode, decode_blocks, encode, encode_blocks, step_of
from edgepress.errors import DataError
from tests.coding.codecs import small_context, smooth

CODING = small_context(3)
OPEN = partial(PortableCoder, CODING)


def header(rows: int, columns: int, step: int) -> Header:
    return Header(bytes(16), "array", 0, 3, rows, columns, (3, rows, columns), 0, step)


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 9), columns=st.integers(1, 12), step=st.integers(1, 13), threads=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 12), max_size=4), seed=st.integers(0, 99),
)  # fmt: skip
def test_values_come_back_however_they_arrive(
    rows: int, columns: int, step: int, threads: int, cuts: list[int], seed: int
) -> None:
    values, head = smooth((3, rows, columns), seed), header(rows, columns, step)
    blocks = np.split(
        values, sorted(cut for cut in cuts if cut <= (rows if rows > 1 else columns)), 1 + (rows == 1)
    )
    data = b"".join(encode_blocks(head, blocks, OPEN, threads))
    assert data == encode(head, values, OPEN)
    found = decode(data, read_header(data), OPEN, threads)
    assert (found.values == values).all() and found.values.dtype == np.int16
    assert found.lost == () and found.says() == ""


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_chunk_is_named_and_the_others_decode(threads: int) -> None:
    values, head = smooth((3, 23, 8), 1), header(23, 8, 5)
    pieces = list(encode_blocks(head, [values], OPEN, threads))
    pieces[2] = pieces[2][:-3] + b"x" + pieces[2][-2:]
    found = decode(b"".join((*pieces[:4], *pieces[5:])), head, OPEN, threads)
    assert found.lost == (1, 3)
    assert "2 of 5 chunks are damaged or missing: rows 5 to 9, 15 to 19 of the latents" in found.says()
    kept = np.r_[0:5, 10:15, 20:23]
    assert (found.values[:, kept] == values[:, kept]).all()
    assert not found.values[:, 5:10].any() and not found.values[:, 15:20].any()


def test_a_body_that_its_checksum_allows_but_no_coder_is_lost() -> None:
    values, head = smooth((3, 4, 8), 1), header(4, 8, 2)
    pieces = list(encode_blocks(head, [values], OPEN))
    data = pieces[0] + chunk(0, b"\0" * 40) + pieces[2]
    assert dict(decode_blocks(data, head, OPEN))[0] is None
    assert decode(data, head, OPEN).lost == (0,)


def test_a_recordings_lost_columns_are_named() -> None:
    values, head = smooth((3, 1, 50), 1), header(1, 50, 20)
    pieces = list(encode_blocks(head, [values], OPEN))
    assert "columns 20 to 49" in decode(b"".join(pieces[:2]), head, OPEN).says()


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="every chunk is damaged"):
        decode(header(4, 8, 2).to_bytes(), header(4, 8, 2), OPEN)


def test_more_than_memory_is_refused_before_it_is_taken() -> None:
    large = dataclasses.replace(header(1 << 20, 1024, 1), step=64)
    assert large.channels * large.rows * large.columns > MOST_AT_ONCE
    with pytest.raises(DataError, match="block by block"):
        decode(large.to_bytes(), large, OPEN)


@pytest.mark.parametrize("shapes", [[(3, 3, 8)], [(3, 3, 8), (3, 2, 8)], [(3, 4, 7)], [(2, 4, 8)]])
def test_blocks_that_do_not_fit_are_refused(shapes: list[tuple[int, int, int]]) -> None:
    blocks = [np.zeros(shape, np.int16) for shape in shapes]
    with pytest.raises(ValueError, match="block"):
        list(encode_blocks(header(4, 8, 2), blocks, OPEN))


@pytest.mark.parametrize(
    ("channels", "rows", "columns", "chunks"),
    [
        (12, 64, 96, 2), (48, 32, 48, 2), (12, 500, 750, 16), (27, 1, 40_000, 8), (1, 1, 1, 1), (12, 3, 2, 1),
        (4096, 9, 9, 3), (12, 1 << 14, 1 << 14, 421), (3000, 2, 5000, 2),
    ],
)  # fmt: skip
def test_larger_streams_have_more_and_larger_chunks(
    channels: int, rows: int, columns: int, chunks: int
) -> None:
    step = step_of(channels, rows, columns)
    assert Header(bytes(16), "array", 0, channels, rows, columns, (1,), 0, step).chunks == chunks


def test_a_stream_costs_hardly_more_than_its_values() -> None:
    values = np.random.default_rng(0).laplace(0, 3, (3, 100, 120)).round().astype(np.int16)
    tables, head = tuple(fit_table(channel) for channel in values), header(100, 120, 34)
    assert 8 * len(encode(head, values, partial(PortableCoder, tables))) < 1.01 * cost(tables, values)
