"""Models as bytes: they come back, they are the same for the same models, and harm is refused."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding.coder import Coding
from edgepress.coding.context import Context
from edgepress.coding.frozen import read_codings, write_codings
from edgepress.coding.leb import write_leb
from edgepress.coding.table import Table, fit_table
from edgepress.errors import BundleError
from tests.coding.codecs import small_context, smooth


def plain_tables() -> tuple[Table, ...]:
    return tuple(fit_table(channel) for channel in smooth((3, 20, 30), 0))


WHOLE = write_codings([small_context(0), plain_tables()])[:-4]


def parts(coding: Coding) -> Any:
    """All that a model is, in a form that can be compared."""
    tables = coding.tables if isinstance(coding, Context) else coding
    flat = [(table.low, table.bits, table.frequencies.tolist()) for table in tables]
    if not isinstance(coding, Context):
        return flat
    return flat, coding.order, coding.first, coding.rest, coding.levels


def signed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


def test_models_come_back() -> None:
    codings = (small_context(0), plain_tables(), small_context(1, 15))
    data = write_codings(codings)
    found = read_codings(data)
    assert [parts(each) for each in found] == [parts(each) for each in codings]
    assert write_codings(found) == data


def test_models_are_small() -> None:
    """A symbol takes a byte or two, a neighbour five at most."""
    known = small_context(0)
    symbols = sum(table.symbols for table in known.tables)
    assert len(write_codings([known])) < 2 * symbols + 5 * 30 + 100


@settings(max_examples=150, deadline=None)
@given(where=st.integers(0, 10**6), by=st.integers(1, 255), sign=st.booleans(), cut=st.booleans())
def test_damage_is_refused_or_gives_models(where: int, by: int, sign: bool, cut: bool) -> None:
    """With a checksum that was made to fit, other models may come out, but only such as have these very bytes."""
    data = bytearray(WHOLE)
    where %= len(data)
    data[where] ^= by
    hit = bytes(data[:where] if cut else data)
    try:
        found = read_codings(signed(hit) if sign else hit + bytes(4))
    except BundleError as error:
        assert "a codec's tables" in str(error)
    else:
        assert sign and write_codings(found) == signed(hit)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([2, 1], "the number 2"),
        ([0, 5000], "the number 5000"),
        ([0, 4096], "4096 items in 0 bytes"),
        ([0, 1, 0, 8, 2, 128, 127], "add up"),
        ([0, 1, 0, 8, 2, 128, 128, 1], "behind the last table"),
        ([1, 2, 0, 0], "2 items in 0 bytes"),
        ([0], "cut off"),
        ([0, 1, 0, 8, 257], "the number 257"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(numbers: list[int], says: str) -> None:
    data = b"EPCT\x01\x01" + b"".join(write_leb(number) for number in numbers)
    with pytest.raises(BundleError, match=f"make no sense.*{says}"):
        read_codings(signed(data))


@pytest.mark.parametrize("count", [0, 17])
def test_none_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 16"):
        write_codings([plain_tables()] * count)
    with pytest.raises(BundleError, match="rates"):
        read_codings(signed(b"EPCT\x01" + bytes([count])))


def test_a_later_version_and_other_bytes_are_refused() -> None:
    with pytest.raises(BundleError, match="update edgepress"):
        read_codings(signed(b"EPCT\x02\x01"))
    for data in (b"", b"EPCT", b"PNG" * 20):
        with pytest.raises(BundleError, match="are none"):
            read_codings(data)


def test_a_number_of_symbols_beyond_the_bytes_takes_no_memory() -> None:
    data = b"EPCT\x01\x01" + b"".join(write_leb(number) for number in (0, 1, 0, 8, 256))
    with pytest.raises(BundleError, match="256 items in 0 bytes"):
        read_codings(signed(data))


def test_a_table_comes_back_as_it_was() -> None:
    table = fit_table(np.array([-32768, -32767, -32768]))
    (found,) = read_codings(write_codings([(table,)]))
    assert isinstance(found, tuple) and parts(found) == parts((table,))
