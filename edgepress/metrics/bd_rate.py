"""The Bjøntegaard rate: how many more bits one codec needs than another for the same quality, over their curves.

Source: G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", ITU-T VCEG-M33 (2001). Where that
fitted one cubic to four points, each curve here is the piecewise cubic that keeps the points' order (PCHIP), through
any number of points, as the working groups for video compare today.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Curve = Sequence[tuple[float, float]]
"""Points ``(rate, quality)``; the rate in any unit, above 0."""

# Two points of Gauss and Legendre, which integrate a cubic exactly.
_NODES = (0.5 - 0.5 / np.sqrt(3), 0.5 + 0.5 / np.sqrt(3))


def bd_rate(anchor: Curve, test: Curve) -> float:
    """How much more rate ``test`` needs than ``anchor`` at the same quality, as a share of the anchor's.

    The logarithm of the rate is drawn over the quality by a monotone piecewise cubic (PCHIP) through the points of
    each curve; the two are subtracted and averaged over the qualities that both reach: :func:`overlap`.

    Args:
        anchor, test: the two curves, in any order of points; at least two points each.

    Returns:
        −0.2 where the test needs 20 % less, 0.25 where it needs a quarter more.

    Raises:
        ValueError: a curve has fewer than two points, a rate that is not above 0 or a figure that is not finite, it
            loses quality where it spends more, or the curves reach no quality in common.
    """
    low, high = overlap(anchor, test)
    means = [_mean(*_ordered(curve, name), low, high) for curve, name in ((anchor, "anchor"), (test, "test"))]
    return float(np.expm1(means[1] - means[0]))


def rate_at(anchor: Curve, test: Curve, quality: float) -> float:
    """How much more rate ``test`` needs than ``anchor`` at one quality, by the same curves as :func:`bd_rate`.

    The mean hides where curves cross; this tells.

    Raises:
        ValueError: as for :func:`bd_rate`, or not both curves reach that quality.
    """
    low, high = overlap(anchor, test)
    if not low <= quality <= high:
        raise ValueError(f"both curves reach qualities from {low:.4g} to {high:.4g}, not {quality:.4g}")
    logs = []
    for curve, name in ((anchor, "anchor"), (test, "test")):
        x, y = _ordered(curve, name)
        logs.append(_at(x, y, _slopes(x, y), quality))
    return float(np.expm1(logs[1] - logs[0]))


def overlap(anchor: Curve, test: Curve) -> tuple[float, float]:
    """The least and the greatest quality that both curves reach; errors as for :func:`bd_rate`."""
    a, b = _ordered(anchor, "anchor")[0], _ordered(test, "test")[0]
    low, high = float(max(a[0], b[0])), float(min(a[-1], b[-1]))
    if not low < high:
        raise ValueError(
            f"the curves reach no quality in common: the anchor's goes from {a[0]:.4g} to {a[-1]:.4g}, "
            f"the test's from {b[0]:.4g} to {b[-1]:.4g}"
        )
    return low, high


def _ordered(curve: Curve, name: str) -> tuple[Array, Array]:
    """Qualities and natural logarithms of rates, in rising order of both."""
    points = np.array(sorted(curve), np.float64).reshape(-1, 2)
    if len(points) < 2:
        raise ValueError(f"the {name}'s curve has {len(points)} points; two are the least")
    if not np.isfinite(points).all() or points[0, 0] <= 0:
        raise ValueError(
            f"the {name}'s curve holds a rate that is not above 0, or a figure that is not finite"
        )
    falls = np.flatnonzero((np.diff(points, axis=0) <= 0).any(axis=1))
    if falls.size:
        (rate, before), (more, after) = points[falls[0]], points[falls[0] + 1]
        raise ValueError(
            f"the {name}'s curve does not rise: {after:.4g} at a rate of {more:.4g}, {before:.4g} at {rate:.4g}"
        )
    return points[:, 1], np.log(points[:, 0])


def _mean(x: Array, y: Array, low: float, high: float) -> float:
    """The mean from ``low`` to ``high``, both inside of ``x``, of the monotone piecewise cubic through points."""
    slopes = _slopes(x, y)
    total = 0.0
    for left, right in zip(np.clip(x[:-1], low, high), np.clip(x[1:], low, high), strict=True):
        for node in _NODES:
            total += float(right - left) / 2 * _at(x, y, slopes, float(left + node * (right - left)))
    return total / (high - low)


def _at(x: Array, y: Array, slopes: Array, place: float) -> float:
    """The cubic between the two points around ``place``, in Hermite's form."""
    index = min(max(int(np.searchsorted(x, place)) - 1, 0), len(x) - 2)
    width = x[index + 1] - x[index]
    t = (place - x[index]) / width
    ends = (1 + 2 * t) * (1 - t) ** 2 * y[index] + t * t * (3 - 2 * t) * y[index + 1]
    return float(ends + width * t * (1 - t) * ((1 - t) * slopes[index] - t * slopes[index + 1]))


def _slopes(x: Array, y: Array) -> Array:
    """The slope at each point.

    Source: F. Fritsch, J. Butland, "A method for constructing local monotone piecewise cubic interpolants", SIAM J.
    Sci. Stat. Comput. 5 (1984): a weighted harmonic mean of the two chords, which all rise here; at the ends the slope
    of a parabola through three points, and flat where that would fall.
    """
    widths = np.diff(x)
    chords = np.diff(y) / widths
    if len(chords) == 1:
        return np.array([chords[0], chords[0]])
    before, after = widths[:-1], widths[1:]
    weights = (2 * after + before, after + 2 * before)
    inner = (weights[0] + weights[1]) / (weights[0] / chords[:-1] + weights[1] / chords[1:])
    first = _end(widths[0], widths[1], chords[0], chords[1])
    last = _end(widths[-1], widths[-2], chords[-1], chords[-2])
    return np.array([first, *inner, last])


def _end(near: float, far: float, chord: float, next_chord: float) -> float:
    slope = ((2 * near + far) * chord - near * next_chord) / (near + far)
    return float(max(slope, 0.0))
