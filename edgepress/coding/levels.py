"""A bank of tables: where to cut the range of expected errors, so that few tables cost little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepress.coding.context import MOST_LEVEL
from edgepress.coding.table import Table, fit_table

Array = np.ndarray[Any, Any]

CUTS = np.unique(np.round(np.geomspace(1, MOST_LEVEL, 112)).astype(np.int64))
_ENOUGH = 1.0004  # what fewer levels may cost more than the most
_WIDEST = 127


def fit_bank(
    distances: Array, levels: Array, halves: Array, most_levels: int, bits: int
) -> tuple[tuple[int, ...], tuple[Table, ...]]:
    """Levels and tables for values seen.

    Args:
        distances: what is to be coded, int64 ``[values]``.
        levels: the level sum of each.
        halves: 0 or 1 for each: which of a level's two tables.
        most_levels: how many spans of levels at most.
        bits: of the tables.

    Returns:
        The levels and the tables, as :class:`edgepress.coding.context.Context` has them.
    """
    spans = np.searchsorted(CUTS, levels, side="right")
    width = 2 * _WIDEST + 1
    shown = np.clip(distances, -_WIDEST, _WIDEST) + _WIDEST
    counts = np.bincount((2 * spans + halves) * width + shown, minlength=2 * (len(CUTS) + 1) * width)
    cuts = _best_cuts(counts.reshape(len(CUTS) + 1, 2, width), most_levels)
    found = tuple(int(CUTS[cut - 1]) for cut in cuts)
    number = 2 * np.searchsorted(found, levels, side="right") + halves
    every = np.zeros(1, np.int64)
    tables = [
        fit_table(distances[number == k] if (number == k).any() else every, bits)
        for k in range(2 * len(found) + 2)
    ]
    return found, tuple(tables)


def _best_cuts(counts: Array, most: int) -> Sequence[int]:
    """Where to divide rows of counts ``[rows, halves, values]``: by dynamic programming over all divisions."""
    rows = len(counts)
    summed = np.concatenate([np.zeros((1, *counts.shape[1:])), np.cumsum(counts, 0, dtype=np.float64)])
    cost = np.full((rows + 1, rows + 1), np.inf)
    for first in range(rows):
        cost[first, first + 1 :] = _bits(summed[first + 1 :] - summed[first]).sum(-1)
    best, last = [cost[0]], [np.zeros(rows + 1, np.int64)]
    for _ in range(1, min(most, rows)):
        both = best[-1][:, None] + cost
        last.append(both.argmin(0))
        best.append(both.min(0))
    wanted = _ENOUGH * min(float(line[-1]) for line in best)
    number = next(k for k, line in enumerate(best) if line[-1] <= wanted)
    cuts = [rows]
    for k in range(number, 0, -1):
        cuts.append(int(last[k][cuts[-1]]))
    return cuts[:0:-1]


def _bits(counts: Array) -> Array:
    """The entropy of counts along the last axis, times how many they are."""
    total = counts.sum(-1)
    plain: Array = -(counts * np.log2(np.maximum(counts, 1))).sum(-1) + total * np.log2(np.maximum(total, 1))
    return plain
