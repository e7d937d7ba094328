"""``edgepress cache``: where finished steps are kept, how large they are, and how to be rid of them."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import click

from edgepress.cli.number import a_number
from edgepress.cli.table import columns, echo_json, size
from edgepress.errors import StorageError
from edgepress.paths import cache_dir

# What can be made again in seconds; which bundles this machine built ("trusted") cannot, and measured tiles
# ("tuning") only in minutes.
_KINDS = {
    "steps": "finished steps of builds",
    "codecs": "codecs that were built at their first use",
    "training": "checkpoints of trainings that were stopped",
    "zig": "the cross compiler's own cache",
    "hwbench": "this machine's peaks",
    "layers": "times of bundles' layers on this machine",
    "verified": "which bundles were verified",
}
_DAY = 86400.0


@click.group(name="cache", invoke_without_command=True, short_help="Show or clean the cache.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show where the cache is and how large it is. EDGEPRESS_CACHE puts it elsewhere."""
    if ctx.invoked_subcommand is not None:
        return
    folder = cache_dir()
    sizes = {kind: sum(_size(entry) for entry in _entries(folder / kind)) for kind in _KINDS}
    if as_json:
        echo_json({"folder": str(folder), "bytes": sizes})
        return
    click.echo(str(folder))
    rows = [[kind, size(sizes[kind]), what] for kind, what in _KINDS.items()]
    click.echo(columns([*rows, ["all", size(sum(sizes.values())), ""]], right=(1,), indent="  "))


@command.command()
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    callback=a_number,
    metavar="DAYS",
    help="Only what was last used before that.",
)
def clean(older_than: float | None) -> None:
    """Remove what the cache holds; the next build makes it again.

    Notes of which bundles this machine built stay, so that their machine code still runs without --trust; so do
    the tiles that edgepress tune measured.
    """
    limit = None if older_than is None else time.time() - older_than * _DAY
    folder = cache_dir()
    with _alone(folder):
        count, freed = _clean(folder, limit)
    click.echo(f"removed {count} entries, {size(freed)}")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the cache's lock: no build starts meanwhile.

    Raises:
        UsageError: a build is running.
    """
    from edgepress.build.cache import LOCK, alone

    if not folder.is_dir():
        yield
        return
    with contextlib.ExitStack() as held:
        try:
            busy = "a build is running and needs the cache; clean it when the build has ended"
            held.enter_context(alone(folder / LOCK, busy))
        except OSError as error:
            raise StorageError(
                f"the cache {folder} cannot be cleaned ({error.strerror}); check whose it is"
            ) from None
        yield


def _clean(folder: Path, limit: float | None) -> tuple[int, int]:
    """How many entries were removed, and the bytes that they took."""
    count = freed = 0
    for kind in _KINDS:
        for entry in _entries(folder / kind):
            try:
                if limit is not None and entry.stat(follow_symlinks=False).st_mtime >= limit:
                    continue
                taken = _size(entry)
                _remove(entry)
            except FileNotFoundError:
                continue  # another process was faster
            except OSError as error:
                raise StorageError(
                    f"{entry} cannot be removed ({error.strerror}); check whose it is"
                ) from None
            count, freed = count + 1, freed + taken
    return count, freed


def _entries(folder: Path) -> list[Path]:
    """What is removed as a whole: finished steps one by one, else whatever the folder holds.

    The folder of a step that a running build is writing is left out.
    """
    if not folder.is_dir() or folder.is_symlink():
        return []
    found = sorted(folder.iterdir())
    if folder.name == "steps":
        found = [
            entry
            for step in found
            if step.is_dir() and not step.is_symlink()
            for entry in sorted(step.iterdir())
        ]
    return [entry for entry in found if not _being_written(entry)]


def _being_written(entry: Path) -> bool:
    process = entry.name.rpartition(".")[2]
    if not (entry.name.startswith(".") and process.isdigit()):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _size(entry: Path) -> int:
    total = 0
    for folder, _, files in os.walk(entry):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
    return total if entry.is_dir() and not entry.is_symlink() else entry.lstat().st_size


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
