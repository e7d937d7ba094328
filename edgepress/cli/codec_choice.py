"""What encode and decode have in common: the choice of the codec, and the options that say how it runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgepress.cli.draw import Drawing
from edgepress.codecs import find_codec
from edgepress.errors import UsageError
from edgepress.runtimes.codec_session import CodecSession
from edgepress.runtimes.session import load
from edgepress.runtimes.split_session import SplitSession

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--force", is_flag=True, help="Replace files that are there."),
    click.option("--engine", help="aot, ort or portable; the bundle's own choice by default."),
    click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine."),
    click.option("--threads", type=click.IntRange(1, 256), help="How many threads to run on."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON."),
)


def codec_options(command: Command) -> Command:
    """Add them to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def codec_bundle(text: str, quiet: bool) -> Path:
    """The bundle that ``--codec`` means; a codec of the zoo is built when it is first used, which is drawn."""
    drawing = Drawing(quiet=quiet)
    try:
        return find_codec(text, drawing)
    finally:
        drawing.clear()


def codec_session(path: Path, engine: str | None, trust: bool, threads: int | None) -> CodecSession:
    """Load a codec's bundle, and tell where it does not run as it was built to.

    Raises:
        UsageError: the bundle holds no codec.
    """
    session = load(path, engine=engine, trust=trust, threads=threads)
    if not isinstance(session, CodecSession):
        session.close()
        if isinstance(session, SplitSession):
            raise UsageError(
                f"{path} is a split network, whose streams only its server reads; edgepress run runs both halves, and "
                "edgepress.load(…).encode gives the stream"
            )
        raise UsageError(f"{path} holds no codec; edgepress run runs it")
    if session.note:
        click.echo(f"edgepress: note: {session.note}", err=True)
    return session
