"""Where edgepress keeps what it can make again (the cache)."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from edgepress.errors import StorageError


def cache_dir() -> Path:
    """The cache folder: ``EDGEPRESS_CACHE``, else the platform's own place for caches.

    A user without a home gets a private folder beside other temporary files.

    Raises:
        StorageError: ``EDGEPRESS_CACHE`` begins with the home of nobody, or the private folder is somebody else's.
    """
    chosen = os.environ.get("EDGEPRESS_CACHE")
    if chosen:
        try:
            return Path(chosen).expanduser()
        except RuntimeError:
            raise StorageError(
                f"EDGEPRESS_CACHE is {chosen!r}, and no such user has a home; set it to a folder"
            ) from None
    base = os.environ.get("XDG_CACHE_HOME")
    if base and sys.platform != "darwin":
        return Path(base) / "edgepress"
    try:
        home = Path.home()
    except RuntimeError:
        return _temporary()
    return (home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache") / "edgepress"


def _temporary() -> Path:
    """A folder that nobody else may write: what it says is trusted."""
    try:
        folder = Path(tempfile.gettempdir()) / f"edgepress-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StorageError(
            f"no cache folder can be made ({error}); set EDGEPRESS_CACHE to a folder"
        ) from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise StorageError(f"{folder} may be written by others; set EDGEPRESS_CACHE to a folder of your own")
    return folder
