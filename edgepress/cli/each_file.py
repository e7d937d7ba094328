"""Commands that make a file from each file: where it goes, and what becomes of the others when one cannot be used."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from edgepress.cli.bar import bar
from edgepress.cli.table import echo_json, printable
from edgepress.errors import DataError, EdgepressError, UsageError
from edgepress.replacing import replacing

Piece = TypeVar("Piece")
Share = Callable[[int, int], None]
"""Told how much of a file is done, and how much it is in all."""

STREAM = "-"
_LARGEST_INPUT = 1 << 30
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


class Places:
    """Where what is made from each file goes.

    Args:
        files: the inputs; ``-`` is standard input.
        output: as the user said: a file where there is one input, else a folder; ``-`` is standard output; None is
            beside each input.
        as_json: whether a report goes to standard output.

    Attributes:
        named: the one file that the user named; None where there are several, or a folder was named.

    Raises:
        UsageError: several inputs would become one file, or there is no place for one.
    """

    def __init__(self, files: Sequence[str], output: str | None, as_json: bool) -> None:
        folder = Path(output) if output is not None else None
        self.named: Path | None = None
        self._stems: list[Path] = []
        if output == "":
            raise UsageError("-o is empty; is a variable of your shell not set?")
        if output == STREAM and as_json:
            raise UsageError("--json and -o - would both write to standard output; choose one")
        one = output is not None and len(files) == 1 and not output.endswith("/")
        if folder is not None and one and not folder.is_dir():
            self.named = folder
            return
        if output == STREAM or (folder is not None and folder.exists() and not folder.is_dir()):
            raise UsageError(
                f"{output} is no folder; name one with -o that what is made of {len(files)} files goes to"
            )
        for file in files:
            if file == STREAM or not Path(file).name:
                raise UsageError(f"what is made of {file!r} has no name; name a file with -o")
            stem = Path(file).with_suffix("")
            self._stems.append(stem if folder is None else folder / stem.name)
        for stem in self._stems:
            if self._stems.count(stem) > 1:
                raise UsageError(f"several of the files would become {stem}; take them one by one, with -o")

    def at(self, number: int, suffix: str) -> Path:
        """The place of a file's result, which ends so where the user did not name it."""
        if self.named is not None:
            return self.named
        stem = self._stems[number]
        return stem.with_name(stem.name + suffix)


@contextlib.contextmanager
def made_file(place: Path, source: str, force: bool) -> Iterator[BinaryIO]:
    """The file that takes that place once it is whole; standard output gets it whole or not at all, too.

    Raises:
        UsageError: it is there, and nobody said to replace it; or it is the source itself.
        StorageError: it cannot be written.
    """
    if str(place) == STREAM:
        kept = io.BytesIO()
        yield kept
        sys.stdout.buffer.write(kept.getbuffer())
        sys.stdout.buffer.flush()
        return
    if place.exists():
        if not force:
            raise UsageError(
                f"{place} is there already; choose another name with -o, or replace it with --force"
            )
        if place.is_dir() or (Path(source).exists() and place.samefile(source)):
            raise UsageError(
                f"{place} cannot be replaced by what is made of {source}; choose another name with -o"
            )
    with replacing(place, "choose another place with -o", folders=True) as file:
        yield file


def source_of(file: str) -> Path | bytes:
    """A file's path, or what standard input holds.

    Raises:
        DataError: it is larger than 1 GiB.
    """
    if file != STREAM:
        return Path(file)
    data = sys.stdin.buffer.read(_LARGEST_INPUT + 1)
    if len(data) > _LARGEST_INPUT:
        raise DataError("standard input is larger than 1 GiB; give a file")
    return data


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
