"""How much memory this process took: now, and at most."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> int | None:
    """Bytes of memory that the process holds now; None where the system does not tell."""
    return _field("VmRSS")


def peak() -> int:
    """The most bytes of memory that the process ever held.

    Linux's VmHWM starts anew with each program; ``getrusage`` there would count what the parent held.
    """
    found = _field("VmHWM")
    if found is not None:
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def forget_peak() -> None:
    """Let the peak count from now on, where the system allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _field(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None
