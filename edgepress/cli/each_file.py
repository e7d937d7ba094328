"""Commands that make a file from each file: where it goes, and what becomes of the others when one cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from edgepress.cli.bar import bar
from edgepress.cli.table import echo_json, printable
from edgepress.errors import EdgepressError, UsageError

Piece = TypeVar("Piece")
Share = Callable[[int, int], None]
"""Told how much of a file is done, and how much it is in all."""

_PARTS = 1000  # that the bar divides a file into


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        data: JSON-ready.
        text: the same in a line.
        error: what was wrong all the same.
    """

    data: dict[str, Any]
    text: str
    error: EdgepressError | None = None


def outputs(files: Sequence[str], output: Path | None, suffix: str) -> list[Path]:
    """Where what is made from each file goes.

    Args:
        output: as the user said: a file where there is one input, else a folder; None is beside each input.
        suffix: of what is made; one that is not known yet is empty.

    Raises:
        UsageError: several inputs would become one file.
    """
    if output is not None and len(files) == 1 and not (output.is_dir() or str(output).endswith("/")):
        return [output]
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(
            f"{output} is no folder; name one with -o that what is made of {len(files)} files goes to"
        )
    places = [
        (Path(file) if output is None else output / Path(file).name).with_suffix(suffix) for file in files
    ]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"several of the files would become {place}; take them one by one, with -o")
    return places


def check_free(place: Path, source: str, force: bool) -> None:
    """Refuse to replace what is there already.

    Raises:
        UsageError: it is there, and nobody said to replace it; or it is the source itself.
    """
    if place.exists():
        if not force:
            raise UsageError(
                f"{place} is there already; choose another name with -o, or replace it with --force"
            )
        if place.is_dir() or (Path(source).exists() and place.samefile(source)):
            raise UsageError(
                f"{place} cannot be replaced by what is made of {source}; choose another name with -o"
            )


def each_file(
    label: str,
    files: Sequence[str],
    work: Callable[[int, str, Share], Outcome],
    report: dict[str, Any] | None,
) -> int:
    """Do ``work`` on each file; one that cannot be used is reported, and the others go on.

    Args:
        label: of the bar.
        work: gets the file's number, its name, and what it tells of its progress.
        report: what a JSON report begins with; None prints lines.

    Returns:
        The exit code: that of the last error, or 0.
    """
    code, found = 0, []
    for number, file in enumerate(files):
        with bar(label) as progress:

            def share(done: int, total: int, number: int = number, file: str = file) -> None:
                progress(_PARTS * number + _PARTS * done // max(1, total), _PARTS * len(files), file)

            share(0, 1)
            try:
                outcome = work(number, file, share)
            except EdgepressError as error:
                outcome = Outcome({}, "", error)
        data = {"file": file, **outcome.data}
        if outcome.error is not None:
            code, said = outcome.error.exit_code, str(outcome.error)
            data["error"] = said if file in said else f"{file}: {said}"
            click.echo(f"edgepress: error: {printable(data['error'])}", err=True)
        found.append(data)
        if report is None and outcome.text:
            click.echo(outcome.text)
    if report is not None:
        echo_json({**report, "results": found})
    return code


def watched(pieces: Iterable[Piece], share: Share, total: int) -> Iterator[Piece]:
    """Pieces that tell how many of them were taken."""
    for number, piece in enumerate(pieces):
        yield piece
        share(number + 1, total)
