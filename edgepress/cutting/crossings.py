"""Latency against the link's rate: which option is fastest where, and the rates at which that changes.

An option takes ``fixed + bits / rate``. Over ``1 / rate`` these are straight lines, and the fastest option at each rate
is their lower envelope, whose corners are found exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Road:
    """One option over all rates.

    Attributes:
        name: of the option.
        kind: what it is compared as; a crossing is where the kind changes.
        fixed: seconds that do not depend on the rate.
        bits: what is sent.
    """

    name: str
    kind: str
    fixed: float
    bits: float

    def seconds(self, rate: float) -> float:
        """From the input to the answer at a rate in bit/s."""
        return self.fixed + self.bits / rate


@dataclass(frozen=True)
class Reign:
    """A run of link rates over which one option is the fastest: from ``low`` to ``high`` bit/s."""

    road: Road
    low: float
    high: float


def meeting(a: Road, b: Road) -> float | None:
    """The rate in bit/s at which two options take the same time; None where one is faster everywhere."""
    if a.bits == b.bits or (a.fixed - b.fixed) * (b.bits - a.bits) <= 0:
        return None
    return (b.bits - a.bits) / (a.fixed - b.fixed)


def fastest(roads: Sequence[Road], low: float, high: float) -> list[Reign]:
    """Which option is fastest from ``low`` to ``high`` bit/s, in rising order of the rate.

    Args:
        roads: at least one; of equal ones the first is taken.
        low, high: above 0.
    """
    found: list[Reign] = []
    rate = high
    road = min(roads, key=lambda road: (road.seconds(rate), road.bits))
    while True:
        # At slower links only what sends less can become faster.
        others = [(meeting(road, other), other) for other in roads if other.bits < road.bits]
        ahead = [(met, other) for met, other in others if met is not None and met <= rate]
        met, following = max(ahead, key=lambda each: (each[0], -each[1].bits), default=(0.0, road))
        if met <= low:
            found.append(Reign(road, low, rate))
            return found[::-1]
        if met < rate:
            found.append(Reign(road, met, rate))
        rate, road = met, following


def by_kind(reigns: Sequence[Reign]) -> list[tuple[float, Reign, Reign]]:
    """Where the kind of the fastest option changes: the rate, what is fastest below it and what above."""
    return [(b.low, a, b) for a, b in pairwise(reigns) if a.road.kind != b.road.kind]
