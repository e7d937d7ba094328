"""A split network's evaluation as a picture: agreement over bytes, and latency over the rate of the link."""

from __future__ import annotations

from pathlib import Path

from edgepress.evaluate.panels import Line, Panel, svg
from edgepress.evaluate.split import SplitEvaluation
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
        lines = tuple(
            Line(
                curve.sender,
                tuple((point.bits_per_s / 1e6, point.latency.value or 0.0) for point in curve.points),
            )
            for curve in found.latencies.curves
        )
        panels.append(
            Panel(
                f"End to end, round trip {found.latencies.delay_ms:g} ms", "rate of the link in Mbit/s", "ms", lines,
                logarithmic=True,
            )
        )  # fmt: skip
    title = f"{found.sender} on {found.pictures} pictures"
    about = (
        f"Agreement with {found.teacher} over bytes a picture, and latency over link rates, of "
        f"{', '.join(curve.sender for curve in found.curves)}."
    )
    if found.latencies is not None:
        about += "".join(f" {crossing.verdict}." for crossing in found.latencies.crossings)
    with replacing(path, "choose another place with --plot") as file:
        file.write(svg(title, about, panels).encode())
