"""Where edgepress keeps what it can make again (the cache)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The cache folder: ``EDGEPRESS_CACHE``, else the platform's own place for caches."""
    chosen = os.environ.get("EDGEPRESS_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "edgepress"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgepress"
