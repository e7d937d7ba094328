"""One codec's curve beside another's: the bits it saves or costs at the same quality."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.evaluate.trial import Point
from edgepress.measurement import Measurement
from edgepress.metrics.bd_rate import bd_rate, overlap, rate_at

METRICS = {"psnr": "PSNR", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}
"""The measures of quality that curves are compared in: attribute of a point to its name."""

_EVEN = 0.5  # percent: as good as equal


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
class Reach:
    """Where two curves can be compared.

    Attributes:
        low, high: the least and the greatest quality that both reach.
        at_low, at_high: the bits that the codec needs more or less there, in percent: a mean may hide a crossing.
    """

    low: float
    high: float
    at_low: float
    at_high: float


@dataclass(frozen=True)
class Comparison:
    """A codec beside another.

    Attributes:
        other: the other's name.
        rates: the BD-rate in each of :data:`METRICS`, in percent: below 0 the codec needs fewer bits.
        over: for each of them, what it is the mean of; None where there is none.
        speeds: of encoding and of decoding, times the other's.
        verdict: where it wins and where it loses, in one sentence.
    """

    other: str
    rates: tuple[Measurement, ...]
    over: tuple[Reach | None, ...]
    speeds: tuple[Measurement, ...]
    verdict: str


def beside(curve: Curve, other: Curve) -> Comparison:
    """Compare two curves measured on the same pictures."""
    found = [_rate(curve, other, metric) for metric in METRICS]
    rates, over = tuple(rate for rate, _ in found), tuple(reach for _, reach in found)
    speeds = tuple(_speed(curve, other, work) for work in ("encode", "decode"))
    return Comparison(
        other.codec, rates, over, speeds, _verdict(curve.codec, other.codec, rates, over, speeds)
    )


def _rate(curve: Curve, other: Curve, metric: str) -> tuple[Measurement, Reach | None]:
    name = f"BD-rate against {other.codec} in {METRICS[metric]}"
    test, anchor = _line(curve.points, metric), _line(other.points, metric)
    try:
        share, (low, high) = bd_rate(anchor, test), overlap(anchor, test)
    except ValueError as error:
        text = str(error).replace("the anchor's", f"{other.codec}'s")
        text = text.replace("the test's", f"{curve.codec}'s")
        return Measurement(name, None, "%", "unavailable", text), None
    how = (
        f"logarithm of bits per pixel over {METRICS[metric]}, means over the pictures, monotone cubic through "
        f"{len(test)} and {len(anchor)} points, from {low:.4g} to {high:.4g}"
    )
    left = [
        f"{len(one.points) - len(line)} of {one.codec}"
        for one, line in ((curve, test), (other, anchor))
        if len(line) < len(one.points)
    ]
    if left:
        how += (
            f"; points without loss, and points that cost more and are no better, left out: {', '.join(left)}"
        )
    ends = (100 * rate_at(anchor, test, quality) for quality in (low, high))
    return Measurement(name, 100 * share, "%", "measured", how), Reach(low, high, *ends)


def _line(points: Sequence[Point], metric: str) -> list[tuple[float, float]]:
    """Bits per pixel and quality, in rising order of both.

    What lost nothing has no finite PSNR, and nobody would choose a rate that costs more and is no better: neither is
    part of a curve.
    """
    line: list[tuple[float, float]] = []
    for bits, quality in sorted(
        (point.bits_per_pixel.value, getattr(point, metric).value)
        for point in points
        if getattr(point, metric).value is not None
    ):
        if bits and math.isfinite(quality) and (not line or (bits > line[-1][0] and quality > line[-1][1])):
            line.append((bits, quality))
    return line


def _speed(curve: Curve, other: Curve, work: str) -> Measurement:
    here, there = (
        statistics.median(getattr(point, work).value for point in one.points) for one in (curve, other)
    )
    name, how = f"speed to {work}, times that of {other.codec}", "medians over the rates of both, one thread"
    return Measurement(name, here / there, "", "measured", how)


def _verdict(
    codec: str,
    other: str,
    rates: Sequence[Measurement],
    over: Sequence[Reach | None],
    speeds: Sequence[Measurement],
) -> str:
    wins: list[str] = []
    losses: list[str] = []
    even: list[str] = []
    for name, rate, reach in zip(METRICS.values(), rates, over, strict=True):
        if rate.value is None or reach is None:
            continue
        if abs(rate.value) < _EVEN:
            even.append(name + _crossing(name, 0, reach))
        else:
            words = f"{_bits(rate.value)} at the same {name}{_crossing(name, rate.value, reach)}"
            (wins if rate.value < 0 else losses).append(words)
    parts = [
        *([f"wins against {other}: it needs {_listed(wins)}"] if wins else []),
        *([f"loses to {other}: it needs {_listed(losses)}"] if losses else []),
        *([f"needs as many bits as {other} at the same {_listed(even)}"] if even else []),
    ]
    if not parts:
        return f"{codec} cannot be held against {other}: {rates[0].how}"
    encode, decode = (f"{speed.value:.2g}" for speed in speeds)
    return f"{codec} {'; it '.join(parts)}; it encodes {encode} times as fast, and decodes {decode} times"


def _bits(percent: float) -> str:
    return f"{abs(percent):.0f} % {'fewer' if percent < 0 else 'more'} bits"


def _crossing(name: str, mean: float, reach: Reach) -> str:
    """What the mean does not say: that it is the other way round at one end."""
    unit = " dB" if name == METRICS["psnr"] else ""
    ends = ((reach.low, reach.at_low), (reach.high, reach.at_high))
    turned = [
        f"{_bits(share)} at {quality:.4g}{unit}"
        for quality, share in ends
        if abs(share) >= _EVEN and share * mean <= 0
    ]
    return f" (but {' and '.join(turned)})" if turned else ""


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
