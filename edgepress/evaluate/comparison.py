"""One codec's curve beside another's: the bits it saves or costs at the same quality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.evaluate.trial import Point
from edgepress.measurement import Measurement
from edgepress.metrics.bd_rate import bd_rate, overlap

METRICS = {"psnr": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}
"""The measures of quality that curves are compared in: attribute of a point to its name."""

_EVEN = 0.005  # as good as equal: half a percent


@dataclass(frozen=True)
class Curve:
    """A codec at all of its rates.

    Attributes:
        codec: its name.
        about: its settings in words.
        points: in rising order of bits per pixel.
    """

    codec: str
    about: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Comparison:
    """A codec beside another.

    Attributes:
        other: the other's name.
        rates: the BD-rate in each of :data:`METRICS`, in percent: below 0 the codec needs fewer bits.
        verdict: where it wins and where it loses, in one sentence.
    """

    other: str
    rates: tuple[Measurement, ...]
    verdict: str


def beside(curve: Curve, other: Curve) -> Comparison:
    """Compare two curves measured on the same pictures."""
    rates = tuple(_rate(curve, other, metric) for metric in METRICS)
    return Comparison(other.codec, rates, _verdict(curve.codec, other.codec, rates))


def _rate(curve: Curve, other: Curve, metric: str) -> Measurement:
    name = f"BD-rate against {other.codec} in {METRICS[metric]}"
    test, anchor = _line(curve.points, metric), _line(other.points, metric)
    try:
        share = bd_rate(anchor, test)
    except ValueError as error:
        text = (
            str(error).replace("the anchor's", f"{other.codec}'s").replace("the test's", f"{curve.codec}'s")
        )
        return Measurement(name, None, "%", "unavailable", text)
    low, high = overlap(anchor, test)
    how = (
        f"logarithm of bits per pixel over {METRICS[metric]}, means over the pictures, monotone cubic through "
        f"{len(test)} and {len(anchor)} points, from {low:.4g} to {high:.4g}"
    )
    return Measurement(name, 100 * share, "%", "measured", how)


def _line(points: Sequence[Point], metric: str) -> list[tuple[float, float]]:
    """Bits per pixel and quality; a point that lost nothing has no finite PSNR, and is no part of a curve."""
    pairs = [(point.bits_per_pixel.value, getattr(point, metric).value) for point in points]
    return [
        (bits, quality) for bits, quality in pairs if bits and quality is not None and math.isfinite(quality)
    ]


def _verdict(codec: str, other: str, rates: Sequence[Measurement]) -> str:
    wins, losses, even = [], [], []
    for name, rate in zip(METRICS.values(), rates, strict=True):
        if rate.value is None:
            continue
        share = rate.value / 100
        if abs(share) < _EVEN:
            even.append(name)
        elif share < 0:
            wins.append(f"{-share:.0%} fewer bits at the same {name}".replace("%", " %"))
        else:
            losses.append(f"{share:.0%} more bits at the same {name}".replace("%", " %"))
    parts = [
        *([f"wins against {other}: {_listed(wins)}"] if wins else []),
        *([f"loses to {other}: {_listed(losses)}"] if losses else []),
        *([f"needs as many bits as {other} at the same {_listed(even)}"] if even else []),
    ]
    if not parts:
        return f"{codec} cannot be held against {other}: {rates[0].how}"
    return f"{codec} {'; it '.join(parts)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
