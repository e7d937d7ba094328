"""Who codes a stream on this machine: the C library where there is one, the definition in Python otherwise.

A wheel brings the library compiled for common hosts. In a checkout it is compiled at first use, where the compiler of
``edgepress[build]`` is installed, and kept in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
from functools import partial
from pathlib import Path

import numpy as np

from edgepress.coding.coder import Coding, OpenCoder, PortableCoder
from edgepress.coding.table import fit_table
from edgepress.errors import BundleError, StorageError
from edgepress.paths import cache_dir
from edgepress.runtimes.coder_build import HEADERS, PLATFORMS, SOURCES, can_compile, compile_coder, file_name
from edgepress.runtimes.native_coder import NativeCoder

_HERE = Path(__file__).resolve().parent
PREBUILT = _HERE / "prebuilt"


def coder_opener(coding: Coding, library: Path | None = None) -> OpenCoder:
    """What makes coders for a model: call it once for each thread.

    Args:
        coding: the model.
        library: a library for this machine with the C coder, such as a codec bundle's; without one,
            :func:`coder_library`.
    """
    library = library or coder_library()
    return partial(PortableCoder, coding) if library is None else partial(NativeCoder, library, coding)


@functools.cache
def coder_library() -> Path | None:
    """The C coder for this machine; None where there is none, and streams are coded in Python, slowly."""
    for name in _platforms():
        brought = PREBUILT / file_name(name)
        found = brought if brought.is_file() else _compiled(name)
        if found is not None and _works(found):
            return found
    return None


def _platforms() -> list[str]:
    """The names of what this machine may load, the fastest first."""
    machine = platform.machine().lower()
    system = platform.system().lower()
    arch = {"amd64": "x86_64", "arm64": "arm64" if system == "darwin" else "aarch64", "armv8l": "armv7l"}
    host = f"{system}-{arch.get(machine, machine)}"
    faster = [f"{host}-v3"] if _has_wide_vectors() else []
    return [name for name in (*faster, host) if name in PLATFORMS]


def _has_wide_vectors() -> bool:
    """Whether Linux says that this processor has all of x86-64-v3."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split())
    except OSError:
        return False
    return {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"} <= flags


def _compiled(name: str) -> Path | None:
    """From the cache, or compiled into it."""
    if not can_compile():
        return None
    digest = hashlib.sha256()
    for file in (*SOURCES, *HEADERS, "../coder_build.py"):
        digest.update((_HERE / "c" / file).read_bytes())
    try:
        folder = cache_dir() / "coder" / digest.hexdigest()[:16]
        kept = folder / file_name(name)
        return kept if kept.is_file() else compile_coder(name, _HERE / "c", folder)
    except (OSError, StorageError, subprocess.SubprocessError):
        return None


def _works(library: Path) -> bool:
    try:
        NativeCoder(library, (fit_table(np.zeros(1)),))
    except BundleError:
        return False
    return True
