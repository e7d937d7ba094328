"""``edgepress evaluate [bundle]``: how often a bundle is right, and how near it is to the float network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepress.cli.bar import bar
from edgepress.cli.table import columns, echo_json
from edgepress.measurement import Measurement

if TYPE_CHECKING:
    from edgepress.evaluate.bundle import Evaluation

_MOST_NAMED = 10


@click.command(short_help="Measure accuracy, or agreement with the float network.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A folder of examples.")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="A CSV file with a line file,label for each example."
)
@click.option("--original", default="", metavar="FILE.onnx|auto", help="Compare with the float network.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many examples, evenly spread.")
@click.option("--engine", help="aot, ort or portable; the bundle's own choice by default.")
@click.option("--part", help="Which part; needed only where there are several.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option("--threads", type=click.IntRange(1, 256), help="How many threads to run on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: Path, data: Path, labels: Path | None, original: str, limit: int | None, engine: str | None,
    part: str | None, trust: bool, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Run BUNDLE on every example in a folder.

    The class of an example is told by --labels, by the name of its sub-folder, or by a number that begins its
    file name (012_bird.jpg: class 12). With labels the accuracy is measured, else the agreement with the
    float network: --original names it, and "auto" takes the one that the build cache kept.
    """
    from edgepress.evaluate.bundle import evaluate

    with bar("evaluating") as progress:
        found = evaluate(
            bundle, data, labels=labels, original=original, part=part, engine=engine, trust=trust,
            threads=threads, limit=limit, progress=progress,
        )  # fmt: skip
    if as_json:
        echo_json(as_data(found))
    else:
        click.echo(as_text(found))


def as_data(found: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON-ready data."""
    return {**vars(found), "figures": [figure.to_json() for figure in found.figures]}


def as_text(found: Evaluation) -> str:
    """An evaluation as lines of text."""
    lines = [f"{found.bundle}  engine {found.engine}, {found.examples} examples"]
    if found.note:
        lines.append(f"note: {found.note}")
    lines.append(f"labels: {found.labels or 'none found'}")
    if found.original:
        lines.append(f"float network: {found.original}")
    lines.append(
        columns([[figure.name, _value(figure), f"({figure.origin})"] for figure in found.figures], right=(1,))
    )
    if found.unreadable:
        lines.append(f"{len(found.unreadable)} files could not be used:")
        lines += [f"  {reason}" for reason in list(found.unreadable.values())[:_MOST_NAMED]]
        if len(found.unreadable) > _MOST_NAMED:
            lines.append(f"  and {len(found.unreadable) - _MOST_NAMED} more (--json names all)")
    return "\n".join(lines)


def _value(figure: Measurement) -> str:
    if figure.value is None:
        return f"not measured: {figure.how}"
    if figure.unit != "share":
        return f"{figure.value:.2f} {figure.unit}"
    interval = (
        f" [{figure.low:.2%}, {figure.high:.2%}]"
        if figure.low is not None and figure.high is not None
        else ""
    )
    return f"{figure.value:.2%}{interval}"
