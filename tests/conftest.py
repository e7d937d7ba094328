"""A tiny image bundle, made with ONNX alone, for every test that needs a real one."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepress.paths import cache_dir
from tests.bundles import picture, write_tiny


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test has a cache of its own, so that none sees what another, or the user, kept."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(
        "ZIG_GLOBAL_CACHE_DIR", os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(cache_dir() / "zig"))
    )
    monkeypatch.setenv("EDGEPRESS_CACHE", str(folder))
    yield folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 10-class picture network for this machine's architecture, with two golden examples."""
    arch = {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    return write_tiny(tmp_path_factory.mktemp("bundle") / "tiny.edge", arch=arch)


@pytest.fixture(scope="session")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small picture file."""
    return picture(tmp_path_factory.mktemp("pictures") / "photo.png", seed=1)
