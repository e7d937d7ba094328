"""Files that are there whole or not at all: written beside their place, and renamed when they are finished."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgepress.errors import StorageError


@contextlib.contextmanager
def replacing(path: Path, mend: str, folders: bool = False) -> Iterator[BinaryIO]:
    """A file to write and read, which takes the place of ``path`` at the end; of a failure nothing stays.

    Args:
        path: an older file is replaced.
        mend: what the user can do where it cannot be written.
        folders: make those that are missing.

    Raises:
        StorageError: the file cannot be written: any OSError of the body is taken for that.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w+b") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror or error}); {mend}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
