"""A split network's evaluation as a picture: agreement over bytes, and latency over the rate of the link."""

from __future__ import annotations

from pathlib import Path

from edgepress.evaluate.panels import Line, Panel, Upright, svg
from edgepress.evaluate.split import SplitEvaluation
from edgepress.evaluate.split_latency import Latencies
from edgepress.replacing import replacing


def draw_split(found: SplitEvaluation, path: Path) -> None:
    """Write the curves as an SVG picture.

    Raises:
        StorageError: the file cannot be written.
    """
    agreement = tuple(
        Line(
            curve.sender,
            tuple(
                sorted(
                    (point.bytes.value / 1e3, point.agreement.value)
                    for point in curve.points
                    if point.bytes.value and point.agreement.value is not None
                )
            ),
        )
        for curve in found.curves
    )
    panels = [
        Panel("Agreement with the teacher over bytes", "kB a picture", "agreement", agreement, percent=True)
    ]
    if found.latencies is not None:
        panels.append(_over_links(found.latencies))
    title = f"{found.sender} on {found.pictures} pictures"
    about = (
        f"Agreement with {found.teacher} over bytes a picture, and latency over link rates, of "
        f"{', '.join(curve.sender for curve in found.curves)}."
    )
    if found.latencies is not None:
        about += "".join(f" {crossing.verdict}." for crossing in found.latencies.crossings)
    with replacing(path, "choose another place with --plot") as file:
        file.write(svg(title, about, panels).encode())


def _over_links(found: Latencies) -> Panel:
    """Latency over the rate, with the places where the first curve crosses another."""
    lines = tuple(
        Line(
            curve.sender,
            tuple((point.bits_per_s / 1e6, point.latency.value or 0.0) for point in curve.points),
        )
        for curve in found.curves
    )
    even = sorted((rate / 1e6, one.other) for one in found.crossings for rate in one.rates)
    shares = ", ".join(sorted({curve.device.origin for curve in found.curves}))
    return Panel(
        f"End to end, round trip {found.delay_ms:g} ms (device {shares})", "rate of the link in Mbit/s", "ms", lines,
        logarithmic=True, uprights=tuple(Upright(rate, f"as fast as {other}") for rate, other in even),
    )  # fmt: skip
