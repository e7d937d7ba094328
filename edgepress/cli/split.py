"""``edgepress split``: where to cut a network between a device and a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepress.cli.bar import bar
from edgepress.cli.draw import Drawing
from edgepress.cli.number import a_number
from edgepress.cli.table import columns, echo_json, shape
from edgepress.errors import TargetError, UsageError
from edgepress.records import encode
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    from edgepress.cutting.decide import Decision
    from edgepress.cutting.options import Option
    from edgepress.measurement import Measurement

_ROWS = {"split, student": 3, "split, int8": 5, "split, float32": 2}
_HEADER = ["", "map", "device MB", "KB sent", "device ms", "link ms", "server ms", "total ms", "origins"]


@click.command(short_help="Say where to cut a network between a device and a server.")
@click.argument("model")
@click.option(
    "--target", required=True, help="The device: a board (edgepress targets lists them) or its .toml."
)
@click.option(
    "--link", required=True, metavar="RATE,DELAY", help="The link, such as 5mbit,20ms (there and back)."
)
@click.option(
    "--server",
    default="host",
    show_default=True,
    help="The server's board; host is this machine, and is measured.",
)
@click.option(
    "--data", type=click.Path(path_type=Path), help="A folder of pictures to measure JPEG and WebP on."
)
@click.option(
    "--agreement",
    type=click.FloatRange(0.5, 1, max_open=True),
    callback=a_number,
    default=0.85,
    show_default=True,
    help="The share of pictures whose class must stay the same where what is sent is not exact.",
)
@click.option(
    "--student",
    type=click.Path(path_type=Path),
    help="A trained student of MODEL, whose own networks and bytes are taken.",
)
@click.option(
    "--device-bundle",
    type=click.Path(path_type=Path),
    help="The model's bundle with layer times of the device, or what edgepress profile --layers --json printed there.",
)
@click.option(
    "--threads", type=click.IntRange(0, 256), default=0, help="Of the device; all of its cores by default."
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME:SHAPE:DTYPE",
    help="An input, where the model does not say.",
)
@click.option("--weights", type=click.Path(), default="", help="A checkpoint for torch code.")
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw latency over link rate."
)
@click.option("--json", "as_json", is_flag=True, help="Print every option and every figure as JSON.")
def command(
    model: str, target: str, link: str, server: str, data: Path | None, agreement: float, student: Path | None,
    device_bundle: Path | None, threads: int, inputs: tuple[str, ...], weights: str, plot: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Try every place to cut MODEL at, between a device and a server.

    MODEL is what edgepress build takes, or a bundle. Times of the device are its board's: estimated, published, or
    measured there; never this machine's. Each figure says where it is from.
    """
    from edgepress.cutting.decide import decide, halves_of
    from edgepress.cutting.divisions import Asked
    from edgepress.cutting.float_graph import float_graph
    from edgepress.cutting.measured_files import measured_files
    from edgepress.cutting.measured_times import measured_times
    from edgepress.cutting.trained_student import trained_student
    from edgepress.hardware.link import parse_link
    from edgepress.targets import load_target

    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"{plot} is no name for a drawing; give one that ends in .svg")
    parsed, device, finisher = parse_link(link), load_target(target), load_target(server)
    if device.kind == "host":
        raise TargetError(
            "the device must be a board, whose times are known; edgepress profile measures this machine"
        )
    drawing = Drawing(quiet=as_json)
    source = float_graph(model, device, drawing, tuple(map(TensorSpec.parse, inputs)), weights)
    drawing.clear()
    with bar("cutting") as progress:
        progress(0, 1, "looking for places to cut at")
        halves = halves_of(source)
        known = measured_times(device_bundle, device, halves) if device_bundle is not None else None
        files = measured_files(source, data, agreement, progress) if data is not None else ()
        trained = trained_student(student, source, agreement) if student is not None else None
        asked = Asked(device, finisher, parsed, agreement, threads, known, files, trained)
        found = decide(source, halves, asked, progress)
    if plot is not None:
        from edgepress.cutting.drawing import draw

        draw(found, plot)
    if as_json:
        echo_json(as_data(found))
    else:
        click.echo(as_text(found))
        if plot is not None:
            click.echo(f"\ncurves: {plot}")


def as_data(found: Decision) -> dict[str, Any]:
    """A decision as JSON-ready data; each figure carries its origin."""
    data: dict[str, Any] = encode(found)
    data["options"] = [
        {
            "name": one.name, **encode(one), "link": one.link(found.link).to_json(),
            "total": one.total(found.link).to_json(),
        }
        for one in found.options
    ]  # fmt: skip
    return data


def as_text(found: Decision) -> str:
    """A decision on a page of text."""
    from edgepress.cutting.words import crossing_words, next_steps, origins, rate_for_people, verdict

    rows = [_HEADER, *(_row(one, found) for one in shown(found.options))]
    lines = [
        f"{found.model} between {found.target} and {found.server}, over {rate_for_people(found.link.bits_per_s)} and "
        f"{1e3 * found.link.delay_s:g} ms there and back",
        "",
        columns(rows, right=range(2, 8)),
        "",
        *(crossing_words(one) for one in found.crossings),
        verdict(found),
        "",
        *next_steps(found),
        "",
        *origins(found),
        "",
        *found.notes,
    ]
    return "\n".join(lines)


def shown(options: tuple[Option, ...]) -> list[Option]:
    """What the table holds: everything that is not cut, and the best cuts of each way to send."""
    left = dict(_ROWS)
    found = []
    for one in options:
        if one.curve in left:
            left[one.curve] -= 1
        if left.get(one.curve, 0) >= 0:
            found.append(one)
    return found


def _row(one: Option, found: Decision) -> list[str]:
    link, total = one.link(found.link), one.total(found.link)
    size = "-" if one.sent is None else f"{(one.sent.bytes.value or 0) / 1e3:.2f}"
    parts = [one.device, link, one.server]
    origins = "/".join(part.origin if part.value else "-" for part in parts)
    place = shape(one.map[1:]) if one.map else "-"
    memory = f"{one.memory.value / 1e6:.1f}" if one.memory.value else "-"
    return [one.name, place, memory, size, *map(_ms, parts), _spread(total), origins]


def _ms(figure: Measurement) -> str:
    return f"{figure.value:.1f}" if figure.value else "-"


def _spread(figure: Measurement) -> str:
    return f"{figure.value:.1f} [{figure.low:.0f}, {figure.high:.0f}]"
