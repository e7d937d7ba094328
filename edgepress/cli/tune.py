"""``edgepress tune``: measure other tiles for a bundle's kernels on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepress.cli.bar import bar
from edgepress.cli.interruptible import run_interruptible
from edgepress.cli.main import INTERRUPTED, guarded
from edgepress.cli.number import a_number
from edgepress.cli.table import columns, echo_json

if TYPE_CHECKING:
    from edgepress.build.tune import Tuned
    from edgepress.build.tuning import TunedTile


@click.command(short_help="Measure other tiles for a bundle's kernels here.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--budget",
    type=click.FloatRange(1, 86400),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    callback=a_number,
    help="How long to try; what is begun is finished.",
)
@click.option("--part", help="Which part; needed only where there are several.")
@click.option("--dry-run", is_flag=True, help="Say which kernels would be tried, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context, bundle: Path, budget: float, part: str | None, dry_run: bool, as_json: bool
) -> None:
    """Try other tiles for the kernels of BUNDLE on this machine, and keep those that are clearly faster.

    Candidates run in turns with the rule's tiles; what is kept was faster in two measurements. Later builds
    for the host use it, and edgepress inspect --layers says where. Mostly the rule's tiles stay. Ctrl-C keeps
    what was measured by then. A bundle for another machine is refused (exit code 5).
    """

    def work(tell: Callable[[str], None]) -> None:
        try:
            _tune(bundle, budget, part, dry_run, as_json, tell)
        except KeyboardInterrupt:
            raise SystemExit(INTERRUPTED) from None  # the parent says it

    code, kept = run_interruptible(lambda tell: guarded(lambda: work(tell), bool(ctx.obj)))
    if kept is not None:
        what = f"what was measured by then is in {kept[-1]}" if kept else "nothing was measured by then"
        click.echo(f"\nedgepress: stopped; {what}", err=True)
    ctx.exit(code)


def _tune(
    path: Path, budget: float, part: str | None, dry: bool, as_json: bool, tell: Callable[[str], None]
) -> None:
    from edgepress.build.tune import tune
    from edgepress.build.tuning import keep_tiles
    from edgepress.bundle import open_bundle
    from edgepress.hardware.machine import this_machine
    from edgepress.runtimes.session import pick_part

    def keep(tiles: Sequence[TunedTile], gone: Sequence[str]) -> Path:
        file = keep_tiles(tiles, gone)
        tell(str(file))
        return file

    with open_bundle(path) as opened, bar("tuning") as progress:
        found = tune(opened, pick_part(opened, part), budget=budget, dry=dry, progress=progress, keep=keep)
    if as_json:
        echo_json({**asdict(found), "path": str(found.path or ""), "origin": "measured"})
        return
    click.echo(as_text(found, dry))
    if this_machine().busy and not dry:
        click.echo(
            "the machine is busy with other work: what is faster shows better on a quiet one", err=True
        )


def as_text(found: Tuned, dry: bool) -> str:
    """What was tried, as a table and a sentence."""
    rows = [
        ["kernel", "layers", "time", "rule", *([] if dry else ["best other", "ratio", "95 % interval", ""])]
    ]
    for kernel in found.kernels:
        row = [kernel.shape, str(kernel.layers), f"{kernel.share:.1%}", kernel.by]
        if not dry and kernel.best is not None:
            columns_of = kernel.by.partition("x")[2]
            best = kernel.best
            row += [f"{best.rows}x{columns_of}", f"{best.ratio:.3f}", f"{best.low:.3f} to {best.high:.3f}"]
            row.append("kept" if kernel.kept else "")
        rows.append(row + [""] * (len(rows[0]) - len(row)))
    table = columns(rows, right=(1, 2, 5), indent="  ")
    if dry:
        return (
            f"{table}\n{found.candidates} candidates would be built, each with another tile for every kernel"
        )
    return f"{table}\n{_verdict(found)}"


def _verdict(found: Tuned) -> str:
    kept = sum(kernel.kept for kernel in found.kernels)
    stopped = "" if found.complete else "; the budget ended before all candidates were tried"
    if not kept:
        return (
            f"the rule's tiles stay: of {found.candidates} candidates for {len(found.kernels)} kernels none was "
            f"clearly faster{stopped}"
        )
    whole = ""
    if found.whole is not None:
        ratio, low, high = found.whole
        whole = f"; the network takes {ratio:.3f} times the time with them ({low:.3f} to {high:.3f})"
    return f"{kept} of {len(found.kernels)} kernels keep another tile, in {found.path}{whole}{stopped}"
