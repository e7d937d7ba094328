"""What commands that train have in common: threads and devices, progress, and stopping without loss."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from edgepress.cli.bar import bar
from edgepress.cli.interruptible import run_interruptible
from edgepress.cli.main import INTERRUPTED, guarded
from edgepress.errors import UsageError
from edgepress.progress import Progress

_EVERY_S = 60.0  # between two lines where no bar is drawn


def set_up(threads: int | None, device: str) -> None:
    """Take so many threads, and see whether a device is there.

    Raises:
        UsageError: it is not.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"the device {device!r} cannot be used ({str(error).splitlines()[0]}); give cpu"
        ) from None


def the_command() -> str:
    """The command line, for a file's facts."""
    return shlex.join(["edgepress", *sys.argv[1:]])


def train_until_stopped(ctx: click.Context, folder: Path, work: Callable[[], None]) -> None:
    """Run a training; Ctrl-C ends it with what is in the folder, and one line says how to go on."""

    def guarded_work() -> None:
        try:
            work()
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # the parent says it

    code, kept = run_interruptible(lambda tell: guarded(guarded_work, bool(ctx.obj)))
    if kept is not None:
        click.echo(f"\nedgepress: stopped; the same command goes on from {folder}", err=True)
    ctx.exit(code)


@contextlib.contextmanager
def steps_told() -> Iterator[Progress]:
    """A bar; where nobody looks at one, a line a minute."""
    began = last = time.monotonic()
    with bar("training") as draw:

        def report(done: int, total: int, what: str = "") -> None:
            nonlocal last
            now = time.monotonic()
            draw(done, total, f"{done}/{total}  {what}")
            if not sys.stderr.isatty() and (now - last > _EVERY_S or done == total):
                last = now
                click.echo(f"{done}/{total}  {what}  {now - began:.0f} s", err=True)

        yield report
