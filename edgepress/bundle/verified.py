"""Remember which files were fully verified, and which were built on this machine, so that loading stays fast."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from edgepress.errors import StorageError
from edgepress.paths import cache_dir


def file_state(descriptor: int) -> str:
    """A name for a file as it is now: it changes when the file is written or replaced."""
    status = os.fstat(descriptor)
    fields = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(repr(fields).encode()).hexdigest()


def known(state: str, identity: str) -> bool:
    """Whether the file in this state was verified before, and its manifest is still the same."""
    try:
        return (_folder("verified") / state).read_text() == identity
    except (OSError, ValueError, StorageError):  # no cache that can be read: verify once more
        return False


def remember(state: str, identity: str) -> None:
    """Note that a file was verified; where nothing can be written, it will be verified again."""
    _note("verified", state, identity)


def trust(identity: str) -> None:
    """Note that this machine built the bundle, so that its machine code may run here."""
    _note("trusted", identity, "")


def trusted(identity: str) -> bool:
    """Whether this machine built the bundle; not where the notes cannot be read."""
    try:
        return (_folder("trusted") / identity).exists()
    except (OSError, StorageError):
        return False


def _folder(kind: str) -> Path:
    return cache_dir() / kind


def _note(kind: str, name: str, text: str) -> None:
    with contextlib.suppress(OSError, StorageError):
        folder = _folder(kind)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_text(text)
        partial.replace(folder / name)
