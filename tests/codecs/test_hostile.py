"""Bytes that somebody else made: they give something or one sentence, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.coding.stream import chunk, read_header
from edgepress.errors import DataError
from edgepress.runtimes.codec_files import opened
from edgepress.runtimes.codec_session import CodecSession
from tests.codecs.made import described, session, write_codec
from tests.codecs.test_session import photograph

HEADS = [
    b"",
    b"EPCS\x01",
    b"\x93NUMPY\x01\x00",
    b"RIFF\x24\x00\x00\x00WAVEfmt ",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodecSession]:
    """A codec for pictures."""
    path: Path = write_codec(tmp_path_factory.mktemp("codec") / "a.edge", described(levels=1))
    with session(path) as codec:
        yield codec


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_mutated_streams(loaded: CodecSession, data: st.DataObject) -> None:
    stream = bytearray(loaded.encode(photograph(24, 20), data.draw(st.integers(0, 3))))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    cut = bytes(stream[: data.draw(st.integers(0, len(stream)))])
    for given_bytes in (bytes(stream), cut):
        try:
            found = loaded.recover(given_bytes)
        except DataError as error:
            assert "\n" not in str(error)
            continue
        assert found.array.dtype == np.uint8
        assert bool(found.damage) == bool(found.lost)


@settings(max_examples=60, deadline=None)
@given(body=st.binary(max_size=120), rate=st.integers(0, 3))
def test_bodies_with_the_right_checksum(loaded: CodecSession, body: bytes, rate: int) -> None:
    header = read_header(loaded.encode(photograph(8, 8), rate))
    try:
        found = loaded.recover(header.to_bytes() + chunk(0, body))
    except DataError as error:
        assert "every chunk is damaged" in str(error)
    else:
        assert found.array.shape == (8, 8, 3)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=200), st.integers(1, 3))
def test_any_file(head: bytes, rest: bytes, axes: int) -> None:
    try:
        with opened(head + rest, axes) as samples:
            block = samples.read(0, samples.extents[0])
            assert block.shape == (samples.channels, *samples.extents)
    except DataError as error:
        assert "\n" not in str(error)
