"""Run a bundle's machine code: the library is taken out of the file, the weights stay mapped in it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.bundle import Bundle, EngineFiles
from edgepress.errors import BundleError, StorageError
from edgepress.runtimes.engine import Arrays
from edgepress.runtimes.native import NativeModel


class NativeEngine:
    """A part's compiled library.

    Args:
        bundle: the open bundle; it must stay open for as long as this engine is used.
        files: the engine's members.
        threads: how many threads to run on.

    Raises:
        BundleError: the library does not fit the weights, or is not for this version of the interface.
    """

    def __init__(self, bundle: Bundle, files: EngineFiles, threads: int = 1) -> None:
        if "weights" not in files.files:
            raise BundleError(f"{bundle.path} names no weights for its library; build it again")
        weights = bundle.member(files.files["weights"])
        with _as_file(bundle.member(files.files["library"])) as path:
            self.model = NativeModel(path, weights, threads=threads)

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Run once; see :class:`edgepress.runtimes.engine.Engine`."""
        return self.model.run(dict(inputs))

    def bind(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], outputs: Mapping[str, np.ndarray[Any, Any]]
    ) -> Callable[[], None]:
        """A call that runs on arrays where they lie; see :meth:`edgepress.runtimes.native.NativeModel.bind`."""
        return self.model.bind(inputs, outputs)


@contextlib.contextmanager
def _as_file(library: memoryview) -> Iterator[Path]:
    """A path that the system's loader can open while it loads: memory on Linux, a private file elsewhere."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("edgepress-library")
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(library)
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    try:
        with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
            path = Path(folder) / "libmodel.dylib"
            path.write_bytes(library)
            yield path
    except OSError as error:
        raise StorageError(
            f"the library cannot be unpacked ({error.strerror}); free some space in the temporary folder"
        ) from None
