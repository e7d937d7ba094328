"""One codec's curve beside another's: the bits it saves or costs at the same quality."""

from __future__ import annotations

import math
import statistics
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
        over: for each of them, the least and the greatest quality that both reach; None where there is no rate.
        speeds: of encoding and of decoding, times the other's.
        verdict: where it wins and where it loses, in one sentence.
    """

    other: str
    rates: tuple[Measurement, ...]
    over: tuple[tuple[float, float] | None, ...]
    speeds: tuple[Measurement, ...]
    verdict: str


def beside(curve: Curve, other: Curve) -> Comparison:
    """Compare two curves measured on the same pictures."""
    found = [_rate(curve, other, metric) for metric in METRICS]
    rates, over = tuple(rate for rate, _ in found), tuple(shared for _, shared in found)
    speeds = tuple(_speed(curve, other, work) for work in ("encode", "decode"))
    return Comparison(other.codec, rates, over, speeds, _verdict(curve.codec, other.codec, rates, speeds))


def _rate(curve: Curve, other: Curve, metric: str) -> tuple[Measurement, tuple[float, float] | None]:
    name = f"BD-rate against {other.codec} in {METRICS[metric]}"
    test, anchor = _line(curve.points, metric), _line(other.points, metric)
    try:
        share, shared = bd_rate(anchor, test), overlap(anchor, test)
    except ValueError as error:
        text = str(error).replace("the anchor's", f"{other.codec}'s")
        text = text.replace("the test's", f"{curve.codec}'s")
        return Measurement(name, None, "%", "unavailable", text), None
    how = (
        f"logarithm of bits per pixel over {METRICS[metric]}, means over the pictures, monotone cubic through "
        f"{len(test)} and {len(anchor)} points, from {shared[0]:.4g} to {shared[1]:.4g}"
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
    return Measurement(name, 100 * share, "%", "measured", how), shared


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


def _verdict(codec: str, other: str, rates: Sequence[Measurement], speeds: Sequence[Measurement]) -> str:
    known = {
        name: rate.value / 100
        for name, rate in zip(METRICS.values(), rates, strict=True)
        if rate.value is not None
    }
    if not known:
        return f"{codec} cannot be held against {other}: {rates[0].how}"
    wins = {name: share for name, share in known.items() if share <= -_EVEN}
    losses = {name: share for name, share in known.items() if share >= _EVEN}
    even = [name for name in known if name not in wins and name not in losses]
    parts = [
        *([f"wins against {other}: it needs {_bits(wins, 'fewer')}"] if wins else []),
        *([f"loses to {other}: it needs {_bits(losses, 'more')}"] if losses else []),
        *([f"needs as many bits as {other} at the same {_listed(even)}"] if even else []),
    ]
    encode, decode = (f"{speed.value:.2g}" for speed in speeds)
    return f"{codec} {'; it '.join(parts)}; it encodes {encode} times as fast, and decodes {decode} times"


def _bits(shares: dict[str, float], word: str) -> str:
    words = [f"{100 * abs(share):.0f} % at the same {name}" for name, share in shares.items()]
    return _listed([words[0].replace(" % ", f" % {word} bits ", 1), *words[1:]])


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
