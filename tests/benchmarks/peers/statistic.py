"""Medians with bootstrap intervals, over rounds: runs of one block are not independent, rounds nearly are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def median(rounds: Sequence[Sequence[float]]) -> Figure:
    """The median of all runs; the interval by drawing whole rounds."""
    runs = np.array(rounds)
    drawn = np.random.default_rng(0).integers(0, len(runs), (_RESAMPLES, len(runs)))
    found = np.median(runs[drawn].reshape(_RESAMPLES, -1), axis=1)
    return _figure(float(np.median(runs)), found)


def ratio(rounds: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> Figure:
    """The median over rounds of this block's median over the other's in the same round."""
    ratios = np.median(np.array(rounds), axis=1) / np.median(np.array(base), axis=1)
    drawn = np.random.default_rng(0).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
    return _figure(float(np.median(ratios)), np.median(ratios[drawn], axis=1))


def _figure(value: float, found: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Figure:
    low, high = np.percentile(found, (2.5, 97.5))
    return Figure(value, float(low), float(high))
