"""A pipe is no bundle, and nobody waits for its other end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgepress.bundle import open_bundle
from edgepress.errors import BundleError


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.edge")
    with pytest.raises(BundleError, match="no regular file"):
        open_bundle(tmp_path / "pipe.edge")


def test_a_device_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(BundleError, match="no regular file"):
            open_bundle(path)
