"""Make a codec's model from latents: predictions, what tells how far they err, and a bank of tables.

Channels are taken from the most energetic to the least. For each, the neighbours that tell most are chosen one by
one; their weights are least squares, in which places count more where little is expected to go wrong, as bits are
spent there on smaller errors. The same is done for the errors' magnitudes, and last their range is cut into levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding import context, regression
from edgepress.coding.coder import Coding, cost
from edgepress.coding.context import Context, Tap, error_of, parted, sum_of
from edgepress.coding.levels import fit_bank
from edgepress.coding.regression import EARLIER, HERE, PLACES
from edgepress.coding.table import fit_table

Array = np.ndarray[Any, Any]

_ROUNDS = 2  # of weights, each with the errors that the one before left
_SEEN = 40_000  # places that neighbours are chosen by; weights and tables follow from all
_GAINS = 0.002, 0.001  # bits a value that a further neighbour must save
_SHARPNESS = 1.5  # a place counts by its expected error to this power, inversely
_MOST_SCALE = 1 << 14


@dataclass(frozen=True)
class Fitted:
    """A model and what it costs on the latents that it was made from.

    Attributes:
        coding: the model that codes shorter.
        values: how many integers there were.
        entropy: bits, if each channel's values had their own probabilities and nothing else were known.
        plain: bits by one table for each channel.
        bits: bits by the model.
    """

    coding: Coding
    values: int
    entropy: float
    plain: float
    bits: float

    def says(self) -> str:
        """The figures in one line."""
        shown = [each / max(1, self.values) for each in (self.entropy, self.plain, self.bits)]
        kind = (
            "tables chosen by neighbours" if isinstance(self.coding, Context) else "a table for each channel"
        )
        return (
            f"{self.values} integers; bits for each: entropy of channels {shown[0]:.4f}, "
            f"their tables {shown[1]:.4f}, {kind} {shown[2]:.4f}"
        )


def fit(
    latents: Iterable[Array],
    *,
    most_values: int = 14,
    most_errors: int = 8,
    most_levels: int = 16,
    bits: int = 12,
) -> Fitted:
    """The model under which such latents cost least.

    Args:
        latents: of many pictures or recordings, each int16 ``[channels, rows, columns]``.
        most_values, most_errors: neighbours in a sum, at most: each takes time for every value.
        most_levels: spans of expected errors; each has two tables.
        bits: of the tables' sums.

    Raises:
        ValueError: there are no latents, they differ in channels, or a value is larger than a context takes.
    """
    pictures = [np.asarray(each, np.int64) for each in latents]
    if not pictures or {(each.ndim, len(each)) for each in pictures} != {(3, len(pictures[0]))}:
        raise ValueError("a model is made from arrays [channels, rows, columns] of the same channels")
    if (
        not all(each.size for each in pictures)
        or max(int(abs(each).max()) for each in pictures) > context.MOST
    ):
        raise ValueError(f"latents are empty, or beyond {context.MOST}")
    channels = [np.concatenate([each[k].ravel() for each in pictures]) for k in range(len(pictures[0]))]
    tables = tuple(fit_table(channel, bits) for channel in channels)
    by_neighbours = _fit_context(pictures, (most_values, most_errors), most_levels, bits)
    costs = [sum(cost(coding, each) for each in pictures) for coding in (tables, by_neighbours)]
    return Fitted(
        tables if costs[0] <= costs[1] else by_neighbours,
        sum(each.size for each in pictures),
        sum(_entropy(channel) for channel in channels),
        costs[0],
        min(costs),
    )


def _fit_context(pictures: Sequence[Array], most: tuple[int, int], most_levels: int, bits: int) -> Context:
    count = len(pictures[0])
    energy = sum((each.astype(np.float64) ** 2).sum((1, 2)) for each in pictures)
    order = tuple(int(k) for k in np.argsort(-np.asarray(energy), kind="stable"))
    few = _few(pictures)
    known = regression.products([pictures[k] for k in few], range(9 * count))
    errors = [np.zeros_like(each) for each in pictures]
    values: list[tuple[Tap, ...]] = [()] * count
    expected: list[tuple[tuple[int, ...], Array]] = [((), np.zeros(1))] * count
    for place, channel in enumerate(order):
        candidates = [9 * channel + k for k in EARLIER] + [9 * k + j for k in order[:place] for j in range(9)]
        chosen = regression.choose(known, 9 * channel + HERE, candidates, most[0], _GAINS[0])
        seen = np.concatenate([regression.gather(each, chosen) for each in pictures], 1)
        wanted = np.concatenate([each[channel].ravel() for each in pictures]).astype(np.float64)
        importance = np.ones(len(wanted))
        tell: list[int] | None = None
        for _ in range(_ROUNDS):
            values[channel] = _taps(chosen, regression.solve(seen, wanted, importance) * 256)
            for picture, error in zip(pictures, errors, strict=True):
                error[channel] = error_of(picture[channel], sum_of(values[channel], picture))
            if tell is None:
                tell = _telling([errors[k] for k in few], channel, candidates, most[1])
            weights, expectation = _expected(errors, channel, tell)
            importance = _whole_importance(expectation)
            expected[channel] = tuple(tell), weights
    return _with_bank(pictures, errors, order, values, expected, most_levels, bits)


def _few(pictures: Sequence[Array]) -> list[int]:
    """Pictures spread over all, of about ``_SEEN`` places."""
    every = sum(each[0].size for each in pictures)
    return list(range(0, len(pictures), max(1, min(len(pictures), every // _SEEN))))


def _telling(errors: Sequence[Array], channel: int, candidates: Sequence[int], most: int) -> list[int]:
    """The neighbours whose errors tell most of this channel's."""
    every = [*candidates, 9 * channel + HERE]
    known = regression.products(errors, every)
    last = len(every)
    found = regression.choose(known, last - 1, range(last - 1), most, _GAINS[1], given=[last], positive=True)
    return [every[k] for k in found]


def _expected(errors: Sequence[Array], channel: int, tell: Sequence[int]) -> tuple[Array, Array]:
    """Weights of neighbours' errors, 0 or more, then a constant; and the error expected at each place."""
    seen = np.concatenate([regression.gather(each, tell) for each in errors], 1)
    seen = np.concatenate([seen, np.full((1, seen.shape[1]), 8.0)])
    wanted = np.concatenate([each[channel].ravel() for each in errors]).astype(np.float64)
    importance = np.ones(len(wanted))
    weights = np.zeros(len(seen))
    for _ in range(3):  # magnitudes scatter as much as they are large
        weights = np.maximum(regression.solve(seen, wanted, importance), 0)
        expectation = weights @ seen
        importance = np.round(1e6 / (np.maximum(expectation, 1.6) ** 2 + 12.8))
    weights[-1] *= 8
    return weights, expectation


def _whole_importance(expectation: Array) -> Array:
    size = np.maximum(expectation / (1 << context.FINE), 0.15)
    return np.round(1000 / (size**_SHARPNESS + 0.1))


def _taps(neighbours: Sequence[int], weights: Array) -> tuple[Tap, ...]:
    whole = np.clip(np.round(weights), -(2**15) + 1, 2**15 - 1).astype(np.int64)
    if abs(whole).sum() > context.MOST_WEIGHT:  # of latents that are nearly the same everywhere
        whole = whole * context.MOST_WEIGHT // abs(whole).sum()
    return tuple(
        Tap(number // 9, *PLACES[number % 9], int(weight))
        for number, weight in zip(neighbours, whole, strict=True)
        if weight
    )


def _with_bank(
    pictures: Sequence[Array], errors: Sequence[Array], order: tuple[int, ...], values: Sequence[tuple[Tap, ...]],
    expected: Sequence[tuple[tuple[int, ...], Array]], most_levels: int, bits: int,
) -> Context:  # fmt: skip
    """Whole weights for the errors, such that the levels span what is expected, and the tables."""
    sums = [
        weights[:-1] @ np.concatenate([regression.gather(each, tell) for each in errors], 1) + weights[-1]
        for tell, weights in expected
    ]
    high = float(np.quantile(np.concatenate(sums), 0.9995))
    heavy = max(float(weights[:-1].sum()) for _, weights in expected)
    far = max(float(weights[-1]) for _, weights in expected)
    scale = min(
        float(_MOST_SCALE),
        context.MOST_LEVEL * 2**context.LEVEL_SHIFT / max(high, 1.0),
        0.6 * context.MOST_WEIGHT / max(heavy, 1e-9),
        0.9 * context.MOST_OFFSET / max(far, 1e-9),
    )
    taps = tuple(_taps(tell, weights[:-1] * scale) for tell, weights in expected)
    offsets = tuple(round(float(weights[-1]) * scale) for _, weights in expected)
    found: list[list[Array]] = [[], [], []]
    for picture, error in zip(pictures, errors, strict=True):
        for channel in order:
            nearest, turned, half = parted(sum_of(values[channel], picture))
            distance = np.where(turned, nearest - picture[channel], picture[channel] - nearest)
            level = (sum_of(taps[channel], error) + offsets[channel]) >> context.LEVEL_SHIFT
            for each, new in zip(found, (distance, level, half), strict=True):
                each.append(new.ravel())
    distances, reached, halves = (np.concatenate(each) for each in found)
    levels, tables = fit_bank(distances, reached, halves, most_levels, bits)
    return Context(order, tuple(values), taps, offsets, levels, tables)


def _entropy(values: Array) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(-(counts * np.log2(counts / counts.sum())).sum())
