"""``edgepress evaluate split``: a split network beside picture codecs, other students, and the whole on the device."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepress.cli.bar import bar
from edgepress.cli.evaluate_codec import names_of, unusable
from edgepress.cli.number import a_number
from edgepress.cli.table import columns, echo_json
from edgepress.errors import UsageError
from edgepress.records import encode

if TYPE_CHECKING:
    from edgepress.evaluate.sender import Sender
    from edgepress.evaluate.split import SplitEvaluation
    from edgepress.evaluate.split_latency import Latencies
    from edgepress.evaluate.split_points import SentCurve
    from edgepress.measurement import Measurement

_LINKS = "0.1mbit,0.3mbit,1mbit,3mbit,10mbit,30mbit,100mbit"


@click.command(short_help="Measure a split network beside JPEG, WebP, AVIF and the whole on the device.")
@click.argument("bundle")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="A folder of pictures.")
@click.option(
    "--teacher", metavar="NAME|BUNDLE", help="Whose answers are right; the bundle's own by default."
)
@click.option(
    "--against",
    default="jpeg,webp,avif,device",
    show_default=True,
    metavar="NAMES",
    help="Picture codecs, device (the whole teacher on it), and bundles; an empty text for none.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Names of the pictures to use, one a line.",
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many pictures, evenly spread.")
@click.option(
    "--at",
    type=click.FloatRange(0, 1),
    default=0.85,
    show_default=True,
    callback=a_number,
    help="The agreement at which bytes are compared, and rates are chosen for latencies.",
)
@click.option(
    "--links",
    default=_LINKS,
    show_default=True,
    metavar="RATES",
    help="Links to measure latencies over; an empty text for none.",
)
@click.option(
    "--delay", default="20ms", show_default=True, metavar="TIME", help="Of a round trip over each link."
)
@click.option(
    "--runs",
    type=click.IntRange(1, 1000),
    default=9,
    show_default=True,
    help="Pictures that go over each link.",
)
@click.option(
    "--device-ms",
    "device_times",
    multiple=True,
    metavar="[NAME=]MS",
    help="The device's share in place of this machine's; without a name, that of BUNDLE. May be repeated.",
)
@click.option("--device-target", metavar="BOARD", help="Take the device's shares from estimates of a board.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.svg", help="Draw the curves.")
@click.option("--engine", help="aot, ort or portable; the bundle's own choice by default.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: str, data: Path, teacher: str | None, against: str, keep: Path | None, limit: int | None, at: float,
    links: str, delay: str, runs: int, device_times: tuple[str, ...], device_target: str | None, plot: Path | None,
    engine: str | None, trust: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the split network BUNDLE and others at all of their rates on the pictures of a folder.

    Bytes are those of whole streams and files. "agreement" is the share of pictures in which the answer's first class
    is the one that the teacher names for the original. A picture codec sends the pixels that the teacher looks at.
    Pictures that a bundle says it was trained on are left out.

    Latencies are measured end to end, with real processes at both ends and a relay between them that is as slow as the
    link, each sender at the fewest bytes that reach the same agreement. The device's share is this machine's unless
    --device-ms or --device-target replaces it.
    """
    from edgepress.evaluate.classifier import open_judge
    from edgepress.evaluate.device_share import estimated_times, given_times
    from edgepress.evaluate.sender import open_sender, teacher_of
    from edgepress.evaluate.split import evaluate_split
    from edgepress.evaluate.split_latency import measure_latencies
    from edgepress.evaluate.teacher import Teacher
    from edgepress.hardware.link import Link, parse_delay, parse_rate

    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"{plot} is no name for a drawing; give one that ends in .svg")
    over = [Link(parse_rate(rate), parse_delay(delay)) for rate in names_of(links)]
    with ExitStack() as stack:
        judge = stack.enter_context(open_judge(teacher or teacher_of(bundle), Teacher))
        senders: list[Sender] = [stack.enter_context(open_sender(bundle, judge, engine=engine, trust=trust))]
        senders += [
            stack.enter_context(open_sender(other, judge, trust=trust))
            for other in names_of(against)
            if other != bundle
        ]
        times = estimated_times(senders, device_target) if device_target else {}
        times |= given_times(device_times, [sender.name for sender in senders])
        with bar("evaluating") as progress:
            found, files = evaluate_split(
                senders[0],
                judge,
                data,
                senders[1:],
                keep=keep,
                agreements=(at,),
                limit=limit,
                progress=progress,
            )
        if over:
            with bar("over links") as progress:
                latencies = measure_latencies(
                    senders, found.curves, judge, files[:: max(1, len(files) // runs)][:runs], over, at,
                    device_times=times, engine=engine, trust=trust, progress=progress,
                )  # fmt: skip
            found = dataclasses.replace(found, latencies=latencies)
    if plot is not None:
        from edgepress.evaluate.split_drawing import draw_split

        draw_split(found, plot)
    if as_json:
        echo_json(encode(found))
    else:
        click.echo(as_text(found))
        if plot is not None:
            click.echo(f"\ncurves: {plot}")


def as_text(found: SplitEvaluation) -> str:
    """An evaluation as lines of text."""
    lines = [
        f"{found.sender}  {found.pictures} picture{'s' * (found.pictures != 1)}: {found.which}",
        f"teacher: {found.teacher}",
        f"labels: {found.labels or 'none found'}",
    ]
    for curve in found.curves:
        lines += ["", f"{curve.sender}  ({curve.about})", _table(curve)]
    if found.comparisons:
        lines += ["", "bytes at equal agreement:", *(f"  {one.verdict}" for one in found.comparisons)]
    if found.latencies is not None:
        lines += ["", *_over_links(found.latencies)]
    return "\n".join([*lines, *unusable(found.unreadable)])


def _table(curve: SentCurve) -> str:
    rows = [["rate", "bytes a picture", "agreement", "accuracy"]]
    rows += [
        [f"{point.rate:g}", _interval(point.bytes), _interval(point.agreement), _interval(point.accuracy)]
        for point in curve.points
    ]
    return columns(rows, right=range(4), indent="  ")


def _interval(figure: Measurement) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    if figure.unit == "share":
        return f"{figure.value:.1%} [{figure.low:.1%}, {figure.high:.1%}]"
    return f"{figure.value:,.0f} [{figure.low:,.0f}, {figure.high:,.0f}]"


def _over_links(found: Latencies) -> list[str]:
    rates = [f"{point.bits_per_s / 1e6:g} Mbit/s" for point in found.curves[0].points]
    rows = [["ms from picture to answer", "agreement", "bytes", "device", "server", *rates]]
    rows += [
        [
            f"{curve.sender}, rate {curve.rate:g}", f"{curve.agreement:.1%}", f"{curve.bytes:,.0f}",
            _ms(curve.device), _ms(curve.server), *(_ms(point.latency) for point in curve.points),
        ]
        for curve in found.curves
    ]  # fmt: skip
    shares = {curve.device.origin for curve in found.curves} - {"measured"}
    kinds = f"; device times marked * are not measured here: {', '.join(sorted(shares))}" if shares else ""
    head = [
        f"over links with a round trip of {found.delay_ms:g} ms; medians of {found.pictures} runs{kinds}",
        f"measured on {found.machine}",
    ]
    return [
        *head,
        columns(rows, right=range(1, len(rows[0])), indent="  "),
        *(one.verdict for one in found.crossings),
    ]


def _ms(figure: Measurement) -> str:
    if figure.value is None:
        return "-"
    return f"{figure.value:.3g}{'*' if figure.origin != 'measured' else ''}"
