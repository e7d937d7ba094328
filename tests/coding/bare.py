"""Programs without a libc, on emulated processors."""

from __future__ import annotations

import subprocess
from pathlib import Path

from edgepress.targets.compilers.zig import OPTIONS, invoke


def run_bare(
    cc: tuple[str, ...], units: list[str], case: Path, *emulator: str, trial: str = "trial.c"
) -> int:
    """The status of a case's trial as a program without a libc."""
    flags = ("-ffreestanding", "-fno-builtin", "-nostdlib", "-static", "-I.", "-Wl,-e,_start", "-o", "trial")
    invoke((*cc, *OPTIONS, *flags, "start.c", trial, "ep_mem.c", *units), "linking the trial", case)
    return subprocess.run([*emulator, str(case / "trial")], check=False, timeout=60).returncode
