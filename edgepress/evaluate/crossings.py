"""Where a curve over link rates crosses another, and which is below where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Line = tuple[str, Sequence[tuple[float, float]]]
"""A name, and points ``(rate, time)`` above 0 in rising order of the rate."""


@dataclass(frozen=True)
class Crossing:
    """A curve beside another.

    Attributes:
        other: the other's name.
        rates: where they cross, in bit/s, straight lines between measured points on logarithmic axes.
        below: at each measured rate, whether the first takes less time.
        verdict: where it wins and where it loses, in one sentence.
    """

    other: str
    rates: tuple[float, ...]
    below: tuple[bool, ...]
    verdict: str


def crossings(first: Line, second: Line) -> Crossing:
    """Compare two curves at the same rates."""
    (name, ours), (other, theirs) = first, second
    gaps = [math.log(a[1] / b[1]) for a, b in zip(ours, theirs, strict=True)]
    places = [math.log(point[0]) for point in ours]
    found, below = [], [gap < 0 for gap in gaps]
    for (x0, g0), (x1, g1) in pairwise(zip(places, gaps, strict=True)):
        if (g0 < 0) != (g1 < 0):
            found.append(math.exp(x0 + (x1 - x0) * g0 / (g0 - g1)))
    return Crossing(other, tuple(found), tuple(below), _verdict(name, other, ours, gaps, found))


def _verdict(
    name: str,
    other: str,
    points: Sequence[tuple[float, float]],
    gaps: Sequence[float],
    found: Sequence[float],
) -> str:
    """Stretches of the axis, each with who wins it and by how much at most."""
    ends = [points[0][0], *found, points[-1][0]]
    stretches = []
    for low, high in pairwise(ends):
        inside = [gap for (rate, _), gap in zip(points, gaps, strict=True) if low <= rate <= high]
        wins = sum(inside) < 0
        most = math.exp(-min(inside) if wins else max(inside)) if inside else 1.0
        where = f"from {_rate(low)} to {_rate(high)} (up to" if high > low else f"at {_rate(low)} ("
        stretches.append(
            f"{'faster' if wins else 'slower'} {where}{' ' if high > low else ''}{most:.2f} times)"
        )
    return f"{name} is, beside {other}, {', '.join(stretches)}"


def _rate(rate: float) -> str:
    return f"{float(f'{rate / 1e6:.2g}'):g} Mbit/s"
