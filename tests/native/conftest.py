"""The tiny model, linked once a session for this machine and for the Raspberry Pi 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.targets.compilers.link import Linked
from tests.native.tiny_model import build


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """The tiny model for this machine."""
    return build("host", tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="session")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """The tiny model for the Raspberry Pi 4, its static executable too."""
    return build("rpi4", tmp_path_factory.mktemp("pi"), executable=True)


@pytest.fixture(scope="session")
def here_library(here: Linked) -> Path:
    """The shared library for this machine."""
    assert here.shared is not None
    return here.shared
