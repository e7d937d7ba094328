"""A build as it appears on a terminal: a line a step, a bar where it is long."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable

import click

_WIDTH = 24
_CLEAR = "\r\x1b[2K"
KEPT = "kept: "  # before what is told of a step that can go on from somewhere


class Drawing:
    """Draws the steps of a build on standard error; plain lines where that is no terminal.

    Args:
        quiet: draw nothing but notes.
        tell: told of every step that is finished, and, after :data:`KEPT`, from where the running one can go on.
    """

    def __init__(self, quiet: bool = False, tell: Callable[[str], None] = lambda step: None) -> None:
        self._quiet = quiet
        self._tell = tell
        self._live = sys.stderr.isatty() and not quiet
        self._about = ""
        self._last = self._began = 0.0
        self._from: tuple[int, int, float] | None = (
            None  # where the running piece of work began: done, total, when
        )

    def started(self, step: str, about: str) -> None:
        self._about, self._began, self._from = about, time.monotonic(), None
        if self._live:
            self._bar(0, 0, "")

    def progress(self, done: int, total: int, what: str = "") -> None:
        now = time.monotonic()
        if self._from is None or done < self._from[0] or total != self._from[1]:
            self._from = (done, total, now)
        if self._live and (now - self._last > 0.1 or done == total):
            self._last = now
            self._bar(done, total, f"{what}{_left(done, *self._from, now)}")

    def finished(self, step: str, seconds: float, cached: bool, figure: str) -> None:
        self._tell(step)
        if self._quiet:
            return
        spent = "cached" if cached else _spent(seconds)
        click.echo(f"{_CLEAR if self._live else ''}{step:12} {spent:>8}  {figure}".rstrip(), err=True)

    def kept(self, step: str, what: str) -> None:
        self._tell(f"{KEPT}{what}")
        if not self._quiet:
            click.echo(
                f"{_CLEAR if self._live else ''}{step:12} {_spent(time.monotonic() - self._began):>8}  {what}",
                err=True,
            )

    def note(self, sentence: str) -> None:
        click.echo(f"{_CLEAR if self._live else ''}note: {sentence}", err=True)

    def _bar(self, done: int, total: int, what: str) -> None:
        filled = _WIDTH * min(done, total) // total if total else 0
        bar = f" [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total}" if total > 1 else " ..."
        line = f"{self._about}{bar}{' ' + what if what else ''}"
        width = shutil.get_terminal_size().columns - 1  # a wrapped line could not be cleared
        click.echo(f"{_CLEAR}{line[:width]}", nl=False, err=True)

    def clear(self) -> None:
        """Take the bar away, so that what comes next starts a line."""
        if self._live:
            click.echo(_CLEAR, nl=False, err=True)


def _spent(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _left(done: int, first: int, total: int, began: float, now: float) -> str:
    """How long the rest takes at the pace so far, once that can be told and is worth it."""
    if done - first < 3 or now - began < 3:
        return ""
    seconds = (now - began) / (done - first) * (total - done)
    return (
        f", {seconds / 60:.0f} min left"
        if seconds >= 60
        else f", {seconds:.0f} s left"
        if seconds >= 5
        else ""
    )
