"""Codecs that several tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepress.runtimes.codec_session import CodecSession
from tests.codecs.made import described, session, write_codec


@pytest.fixture(scope="session")
def codec_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec for pictures of three channels, in tiles of 32."""
    return write_codec(tmp_path_factory.mktemp("codec") / "blocks.edge", described())


@pytest.fixture(scope="session")
def free_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same codec with graphs that take any size."""
    return write_codec(tmp_path_factory.mktemp("codec") / "free.edge", described(any_size=True))


@pytest.fixture(scope="session")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec for recordings of two channels."""
    return write_codec(tmp_path_factory.mktemp("codec") / "sound.edge", described(1, 2, tile=256))


@pytest.fixture
def codec(codec_file: Path) -> Iterator[CodecSession]:
    """The codec for pictures, loaded."""
    with session(codec_file) as loaded:
        yield loaded


@pytest.fixture
def sound(sound_file: Path) -> Iterator[CodecSession]:
    """The codec for recordings, loaded."""
    with session(sound_file) as loaded:
        yield loaded
