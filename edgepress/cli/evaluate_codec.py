"""``edgepress evaluate codec``: a picture codec beside others."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepress.cli.bar import bar
from edgepress.cli.draw import Drawing
from edgepress.cli.table import columns, echo_json, printable
from edgepress.errors import UsageError
from edgepress.records import encode

if TYPE_CHECKING:
    from edgepress.evaluate.codec import CodecEvaluation
    from edgepress.evaluate.comparison import Curve, Reach
    from edgepress.measurement import Measurement

_MOST_NAMED = 10
_HEADER = ["rate", "bits/pixel", "PSNR dB", "SSIM", "MS-SSIM", "agreement", "encode MP/s", "decode MP/s"]


@click.command(short_help="Measure a picture codec beside others.")
@click.argument("name")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A folder of pictures.")
@click.option(
    "--against",
    default="jpeg,webp,avif,jpeg2000",
    show_default=True,
    metavar="NAMES",
    help="Codecs to hold it against; an empty text for none.",
)
@click.option(
    "--classifier",
    default="efficientnet-lite0",
    show_default=True,
    metavar="NAME|BUNDLE|none",
    help="What judges decoded pictures.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the curves.")
@click.option("--engine", help="aot, ort or portable; the bundle's own choice by default.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many pictures, evenly spread.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str, data: Path, against: str, classifier: str, plot: Path | None, engine: str | None, trust: bool,
    limit: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Run the codec NAME and others at all of their rates on every picture of a folder.

    NAME is a codec's bundle or name, or one of those that come with Pillow. Each picture is encoded and decoded by
    every codec, on one thread; bits are those of whole files. "agreement" is the share of pictures in which a
    classifier still sees what it saw in the original. The BD-rate is the bits that the codec needs more or less
    than another at the same quality.
    """
    from edgepress.codecs import codec_names, find_codec
    from edgepress.evaluate.codec import evaluate_codec
    from edgepress.evaluate.find_codec import open_codec

    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"{plot} is no name for a drawing; give one that ends in .svg")
    with ExitStack() as stack:
        drawing = Drawing(quiet=as_json)  # of a zoo's codec that must be built first
        for zoo_name in (one for one in (name, *names_of(against)) if one in codec_names()):
            find_codec(zoo_name, drawing)  # before a bundle's library is loaded, beside which TVM has crashed
        codec = stack.enter_context(open_codec(name, drawing, engine=engine, trust=trust))
        others = [
            stack.enter_context(open_codec(other, drawing)) for other in names_of(against) if other != name
        ]
        drawing.clear()
        with bar("evaluating") as progress:
            found = evaluate_codec(codec, data, others, classifier=classifier, limit=limit, progress=progress)
    if plot is not None:
        from edgepress.evaluate.drawing import draw

        draw(found, plot)
    if as_json:
        echo_json(encode(found))
    else:
        click.echo(as_text(found))
        if plot is not None:
            click.echo(f"\ncurves: {plot}")


def names_of(text: str) -> list[str]:
    """The words between commas, each once."""
    return list(dict.fromkeys(word for word in (part.strip() for part in text.split(",")) if word))


def as_text(found: CodecEvaluation) -> str:
    """An evaluation as lines of text."""
    lines = [
        f"{found.codec}  {found.pictures} picture{'s' * (found.pictures != 1)}, {found.megapixels:.1f} megapixels, "
        "one thread, all figures measured here",
        f"classifier: {found.classifier}",
    ]
    for curve in found.curves:
        lines += ["", f"{curve.codec}  ({curve.about})", _table(curve)]
    if found.comparisons:
        rows = [["BD-rate against", "in PSNR", "in SSIM", "in MS-SSIM"]]
        rows += [[one.other, *map(_percent, one.rates, one.over)] for one in found.comparisons]
        lines += ["", columns(rows, right=(1, 2, 3)), "", *(one.verdict for one in found.comparisons)]
    return "\n".join([*lines, *unusable(found.unreadable)])


def unusable(files: Mapping[str, str]) -> list[str]:
    """Lines about files that could not be used, with the reasons; none where there are none."""
    if not files:
        return []
    lines = ["", f"{len(files)} files could not be used:"]
    lines += [f"  {printable(reason)}" for reason in list(files.values())[:_MOST_NAMED]]
    if len(files) > _MOST_NAMED:
        lines.append(f"  and {len(files) - _MOST_NAMED} more (--json names all)")
    return lines


def _table(curve: Curve) -> str:
    rows = [_HEADER]
    for point in curve.points:
        cells: list[tuple[Measurement, str]] = [
            (point.bits_per_pixel, ".3f"), (point.psnr, ".2f"), (point.ssim, ".4f"), (point.ms_ssim, ".4f"),
            (point.agreement, ".1%"), (point.encode, ".3g"), (point.decode, ".3g"),
        ]  # fmt: skip
        rows.append([f"{point.rate:g}", *(_cell(figure, form) for figure, form in cells)])
    return columns(rows, right=range(len(_HEADER)), indent="  ")


def _cell(figure: Measurement, form: str) -> str:
    return "-" if figure.value is None else format(figure.value, form).replace("%", " %")


def _percent(figure: Measurement, over: Reach | None) -> str:
    """A BD-rate and the qualities that it is of."""
    if figure.value is None or over is None:
        return "-"
    return f"{figure.value:+.1f} %  ({over.low:.4g} to {over.high:.4g})"
