"""The curves of an evaluation as a picture: each measure of quality over the bits for a pixel."""

from __future__ import annotations

import math
from pathlib import Path

from edgepress.evaluate.codec import CodecEvaluation
from edgepress.evaluate.comparison import METRICS, Curve
from edgepress.evaluate.panels import Line, Panel, svg
from edgepress.replacing import replacing

_UNITS = {"psnr": "dB", "ssim": "", "ms_ssim": ""}


def draw(found: CodecEvaluation, path: Path) -> None:
    """Write the curves as an SVG picture.

    Raises:
        StorageError: the file cannot be written.
    """
    panels = [
        Panel(
            f"{name} over bits per pixel", "bits per pixel", f"{name} {_UNITS[metric]}".strip(),
            tuple(_line(curve, metric) for curve in found.curves),
        )
        for metric, name in METRICS.items()
    ]  # fmt: skip
    agreement = tuple(_line(curve, "agreement") for curve in found.curves)
    panels.append(
        Panel("What a classifier sees stays the same", "bits per pixel", "agreement", agreement, percent=True)
    )
    names = ", ".join(curve.codec for curve in found.curves)
    title = f"{found.codec} on {found.pictures} pictures, {found.megapixels:.1f} megapixels"
    with replacing(path, "choose another place with --plot") as file:
        file.write(svg(title, f"Quality over bits per pixel of {names}.", panels).encode())


def _line(curve: Curve, metric: str) -> Line:
    """The points that have the measure; what lost nothing has no finite PSNR."""
    pairs = [(point.bits_per_pixel.value, getattr(point, metric).value) for point in curve.points]
    return Line(
        curve.codec,
        tuple((bits, value) for bits, value in pairs if bits and value is not None and math.isfinite(value)),
    )
