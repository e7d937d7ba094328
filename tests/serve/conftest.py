"""Servers that several tests ask, each a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import edgepress
from edgepress.runtimes.split_session import SplitSession
from tests.bundles import picture, write_tiny
from tests.serve.running import Running, running
from tests.splits import SECOND, write_split

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="session")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split network's bundle: device, two heads, local."""
    return write_split(
        tmp_path_factory.mktemp("halves") / "halves.edge", ("device", "server", SECOND, "local")
    )


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another network of the same form."""
    return write_split(tmp_path_factory.mktemp("others") / "others.edge", seed=1, name="others")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that is not split."""
    return write_tiny(tmp_path_factory.mktemp("whole") / "whole.edge")


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture's file."""
    return picture(tmp_path_factory.mktemp("photo") / "photo.png", seed=1)


@pytest.fixture(scope="session")
def here(halves: Path) -> Iterator[SplitSession]:
    """The split network in this process: what every answer is compared with."""
    with edgepress.load(halves) as session:
        assert isinstance(session, SplitSession)
        yield session


@pytest.fixture(scope="session")
def stream(here: SplitSession, photo: Path) -> bytes:
    """A good body."""
    return here.encode(photo)


@pytest.fixture(scope="session")
def served(halves: Path) -> Iterator[Running]:
    """The split network behind a token, with limits that a test can reach."""
    limits = ("--largest", 0.125, "--held", 1, "--body-time", 0.5, "--quiet-time", 1)
    with running(halves, *limits, "--workers", 2, token=TOKEN) as server:
        yield server


@pytest.fixture(scope="session")
def served_whole(whole: Path) -> Iterator[Running]:
    """The other network, open to everybody here."""
    with running(whole, "--workers", 1) as server:
        yield server
