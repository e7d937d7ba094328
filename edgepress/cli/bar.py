"""A progress bar on standard error, where somebody watches it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgepress.progress import Progress, silent

_WIDTH = 24
_EVERY = 0.1  # seconds between two drawings


@contextmanager
def bar(label: str) -> Iterator[Progress]:
    """Give the progress to hand to a long step; the line is wiped at the end. Silent unless on a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    drawn = float("-inf")

    def draw(done: int, total: int, what: str = "") -> None:
        nonlocal drawn
        now = time.monotonic()
        if now - drawn < _EVERY and done < total:
            return
        drawn = now
        full = _WIDTH * min(done, total) // total if total else 0
        line = f"{label} [{'#' * full}{'.' * (_WIDTH - full)}] {what}"
        columns = shutil.get_terminal_size().columns
        sys.stderr.write("\r\x1b[K" + line[: columns - 1])
        sys.stderr.flush()

    try:
        yield draw
    finally:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
