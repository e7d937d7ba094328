"""How many bytes two coders need for the same agreement, on the same examples, and how sure that is.

A coder at several rates gives, of every example, its bytes and whether the answer is still the same. Over all examples
that is a curve: mean bytes, and the share that agrees, which cannot truly fall where more is sent: it is taken as the
non-decreasing curve that is nearest to what was counted (pool adjacent violators), and between two rates as a straight
line over the logarithm of bytes. Two curves are divided where both reach an agreement.

The interval is a paired bootstrap's: examples are drawn with replacement, the same ones for both coders, both curves
made again and divided. Its ends are the quantiles 0.025 and 0.975 of these quotients. Where in such a draw the second
coder does not reach the agreement at any rate, the quotient counts as 0; where the first does not, as infinite.

Sources: B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 10 and 13; R. Barlow et al.,
"Statistical Inference under Order Restrictions" (1972), for the non-decreasing curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
DRAWS = 2000
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True, eq=False)
class Counts:
    """What a coder did on every example at every rate.

    Attributes:
        sizes: bytes, ``[rates, examples]``, above 0.
        agrees: whether the answer stayed the same, ``[rates, examples]``.
    """

    sizes: Array
    agrees: Array

    def __post_init__(self) -> None:
        if self.sizes.ndim != 2 or self.sizes.shape != self.agrees.shape or not self.sizes.size:
            raise ValueError(
                f"sizes {self.sizes.shape} and agreement {self.agrees.shape} do not belong together"
            )
        if (self.sizes <= 0).any():
            raise ValueError("a stream of no bytes has no logarithm")


@dataclass(frozen=True)
class Quotient:
    """The bytes that the first coder needs, over the second's, at one agreement.

    Attributes:
        agreement: the share that it is at.
        first, second: bytes, from all examples; infinite where that coder does not reach it.
        value: first over second.
        low, high: its 95 % interval; infinite where the bytes are not known to be fewer than any number.
    """

    agreement: float
    first: float
    second: float
    value: float
    low: float
    high: float


def draws(examples: int, count: int = DRAWS, seed: int = 0) -> Array:
    """Weights of the examples, float64 ``[1 + count, examples]``: all alike in the first row, then one draw a row."""
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(examples, np.full(examples, 1 / examples), count)
    return np.concatenate([np.ones((1, examples)), drawn]) / examples


def at_rate(first: Counts, rate: int, second: Counts, weights: Array) -> Quotient:
    """Compare at the agreement that one of the first coder's rates reaches, whatever that is in each draw.

    Args:
        first, second: on the same examples.
        rate: an index into the first's.
        weights: of :func:`draws`.
    """
    sizes, levels = weights @ first.sizes[rate], weights @ first.agrees[rate]
    return _quotient(levels, sizes, _needed(second, levels, weights, 0.0))


def at_agreement(first: Counts, agreement: float, second: Counts, weights: Array) -> Quotient:
    """Compare at an agreement that is given; arguments as for :func:`at_rate`.

    Where it lies below a coder's first rate, the first coder is taken to need that rate's bytes, and the second none:
    both are the worst that can be for the first.
    """
    levels = np.full(len(weights), agreement)
    return _quotient(levels, _needed(first, levels, weights, None), _needed(second, levels, weights, 0.0))


def mean_interval(values: Array, weights: Array) -> tuple[float, float]:
    """The 95 % interval of the mean of ``[examples]``, by the same draws."""
    low, high = np.quantile(weights[1:] @ values, _QUANTILES)
    return float(low), float(high)


def non_decreasing(values: Array) -> Array:
    """The non-decreasing numbers that are nearest to ``values`` in the sum of squares."""
    blocks: list[list[float]] = []  # sum and count
    for value in values:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    return np.concatenate([np.full(int(count), total / count) for total, count in blocks])


def _quotient(levels: Array, first: Array, second: Array) -> Quotient:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = first / second
    found = np.where(np.isfinite(first), found, np.inf)
    # An infinite number has no place between two others, so the quantiles are numbers that were found.
    low = np.quantile(found[1:], _QUANTILES[0], method="lower")
    high = np.quantile(found[1:], _QUANTILES[1], method="higher")
    return Quotient(*(float(one) for one in (levels[0], first[0], second[0], found[0], low, high)))


def _needed(coder: Counts, levels: Array, weights: Array, below: float | None) -> Array:
    """Of each draw the mean bytes at which the coder's curve reaches its level.

    Args:
        below: what to give where the first rate is above it already; None gives that rate's bytes.
    """
    order = np.argsort(coder.sizes.mean(axis=1), kind="stable")
    sizes, shares = weights @ coder.sizes[order].T, weights @ coder.agrees[order].T
    found = np.empty(len(weights))
    for draw, level in enumerate(levels):
        curve = non_decreasing(shares[draw])
        place = int(np.searchsorted(curve, level - 1e-12))
        if place == len(curve):
            found[draw] = np.inf
        elif place == 0:
            above = below is not None and curve[0] > level + 1e-12
            found[draw] = below if above else sizes[draw, 0]
        else:
            part = (level - curve[place - 1]) / (curve[place] - curve[place - 1])
            ends = np.log(sizes[draw, place - 1 : place + 1])
            found[draw] = np.exp(ends[0] + min(part, 1.0) * (ends[1] - ends[0]))
    return found
