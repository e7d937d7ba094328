"""Finished steps of builds, kept by what went into them.

A step's key is the SHA-256 of its name and every input; its folder appears under that key by one rename when
the step is done, so a killed build leaves whole steps and nothing else. An index in the folder holds the
SHA-256 of each file: a step that was damaged since is made again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.errors import StorageError, UsageError
from edgepress.paths import cache_dir

LOCK = "building.lock"
UNFINISHED = "training"
_INDEX = ".index.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def key(step: str, inputs: Mapping[str, Any]) -> str:
    """The name under which a step with these inputs is kept; ``inputs`` is JSON-ready data."""
    text = json.dumps({"step": step, "inputs": inputs}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class StepCache:
    """A folder of finished steps."""

    root: Path

    @classmethod
    def default(cls) -> StepCache:
        """The user's cache."""
        return cls(cache_dir() / "steps")

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Hold the cache for a build: nobody cleans it meanwhile, and what killed builds left is removed.

        Raises:
            StorageError: the cache cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root.parent / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            with contextlib.suppress(OSError):  # alone: every unfinished step is a leftover
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for leftover in self.root.glob("*/.*"):
                    shutil.rmtree(leftover, ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock)

    def find(self, step: str, name: str) -> Path | None:
        """The folder of a finished step that is still whole, or None."""
        folder = self.root / step / name
        try:
            index = json.loads((folder / _INDEX).read_text())
            whole = all(_digest(folder / file) == digest for file, digest in index.items())
        except (OSError, ValueError, AttributeError):
            whole = False
        if not whole:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(folder)  # used now: clean keeps what is recent
        return folder

    def make(self, step: str, name: str, work: Callable[[Path], None]) -> Path:
        """Run a step into a folder of its own and keep it when it ends well.

        Raises:
            StorageError: the cache cannot be written.
        """
        folder = self.root / step / name
        partial = self._partial(folder)
        try:
            try:
                work(partial)
                _seal(partial)
            except OSError as error:
                if error.errno in _FULL:
                    raise self._unwritable(error) from None
                raise
            with contextlib.suppress(OSError):  # another build may have finished the same step first
                partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        if self.find(step, name) is None:
            raise StorageError(
                f"the cache {self.root} does not keep what is written to it; set EDGEPRESS_CACHE to another folder"
            )
        return folder

    @contextlib.contextmanager
    def unfinished(self, name: str) -> Iterator[Path]:
        """The folder in which a long step keeps how far it is, until :meth:`forget`; nobody else has it meanwhile.

        Raises:
            StorageError: the cache cannot be written.
            UsageError: another build is in the same step.
        """
        folder = self._unfinished(name)
        busy = "another build is training this very network; wait until it has ended, and take its result"
        with contextlib.ExitStack() as held:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(alone(folder / LOCK, busy))
            except OSError as error:
                raise self._unwritable(error) from None
            yield folder

    def forget(self, name: str) -> None:
        """Remove what :meth:`unfinished` kept: the step is finished."""
        shutil.rmtree(self._unfinished(name), ignore_errors=True)

    def _unfinished(self, name: str) -> Path:
        return self.root.parent / UNFINISHED / name

    def _partial(self, folder: Path) -> Path:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            return Path(tempfile.mkdtemp(prefix=f".{folder.name[:16]}.", dir=folder.parent))
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> StorageError:
        return StorageError(
            f"the cache {self.root} cannot be written ({error.strerror or error}); free some space, "
            "or set EDGEPRESS_CACHE to another folder"
        )


@contextlib.contextmanager
def alone(lock: Path, busy: str) -> Iterator[None]:
    """Hold a lock file that nobody else holds.

    Raises:
        UsageError: somebody does; the message is ``busy``.
        OSError: it cannot be opened.
    """
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(busy) from None
        yield
    finally:
        os.close(file)


def _seal(folder: Path) -> None:
    """Write the index of a folder's files and make sure that all of it is on the disk."""
    index = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        index[str(path.relative_to(folder))] = _digest(path)
        _sync(path)
    (folder / _INDEX).write_text(json.dumps(index))
    _sync(folder / _INDEX)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
