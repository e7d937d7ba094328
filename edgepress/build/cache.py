"""Finished steps of builds, kept by what went into them.

A step's key is the SHA-256 of its name, its version and every input; its folder appears under that key by
one rename when the step is done, so a killed build leaves whole steps and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.errors import StorageError
from edgepress.paths import cache_dir


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

    def find(self, step: str, name: str) -> Path | None:
        """The folder of a finished step, or None."""
        folder = self.root / step / name
        if not folder.is_dir():
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
        partial = folder.with_name(f".{name}.{os.getpid()}")
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            work(partial)
            try:
                partial.rename(folder)
            except OSError:
                if not folder.is_dir():  # another build finished the same step first
                    raise
        except OSError as error:
            raise StorageError(
                f"the cache {self.root} cannot be written ({error.strerror or error}); free some space, "
                "or set EDGEPRESS_CACHE to another folder"
            ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return folder

    def sweep(self) -> None:
        """Remove what killed builds left."""
        for leftover in self.root.glob("*/.*"):
            process = leftover.name.rpartition(".")[2]
            if process.isdigit() and not Path(f"/proc/{process}").exists():
                shutil.rmtree(leftover, ignore_errors=True)
