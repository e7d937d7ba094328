"""Make a codec's model from latents: what predicts each channel, what tells how far that errs, a bank of tables.

Channels are taken from the most energetic to the least, so that each can be predicted from those that tell most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding import context
from edgepress.coding.coder import Coding, cost
from edgepress.coding.context import Context, Sums, Tap, distance_of, sum_of
from edgepress.coding.fit_sums import Bench, Draft
from edgepress.coding.levels import fit_bank
from edgepress.coding.table import fit_table

Array = np.ndarray[Any, Any]

_MOST_SCALE = 1 << 14
_BETWEEN = 24  # rows between those that count as first ones of a chunk, where tables are made


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
    most_values: int = 20,
    most_errors: int = 12,
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
    bench = Bench(pictures, most)
    rest = {channel: bench.fit_rest(channel, order[:place]) for place, channel in enumerate(order)}
    first = {channel: bench.fit_first(channel, order[:place]) for place, channel in enumerate(order)}
    drafts = [*(first[channel] for channel in range(count)), *(rest[channel] for channel in range(count))]
    scale = _scale(drafts, bench.errors)
    sums = [draft.sums(scale) for draft in drafts]
    distances, levels, halves = (
        np.concatenate(each)
        for each in zip(*_coded(bench, sums[:count], _BETWEEN), *_coded(bench, sums[count:], 1), strict=True)
    )
    bank = fit_bank(distances, levels, halves, most_levels, bits)
    whole = [Sums(each.values, tuple(_own(tap, count) for tap in each.errors), each.offset) for each in sums]
    return Context(order, tuple(whole[:count]), tuple(whole[count:]), *bank)


def _scale(drafts: Sequence[Draft], errors: Sequence[Array]) -> float:
    """What errors' weights are multiplied by, so that the levels span what is expected."""
    high = float(np.quantile(np.concatenate([draft.expected(errors) for draft in drafts]), 0.9995))
    return min(
        float(_MOST_SCALE),
        float(context.MOST_LEVEL << context.LEVEL_SHIFT) / max(high, 1.0),
        *(0.6 * context.MOST_WEIGHT / max(float(draft.weights.sum()), 1e-9) for draft in drafts),
        *(0.9 * context.MOST_OFFSET / max(draft.least, 1e-9) for draft in drafts),
    )


def _coded(bench: Bench, sums: Sequence[Sums], between: int) -> Iterator[tuple[Array, Array, Array]]:
    """Distances, levels and halves of all channels, of every so many rows."""
    for picture, errors in zip(bench.pictures, bench.errors, strict=True):
        for channel, each in enumerate(sums):
            distance, half = distance_of(picture[channel], sum_of(each.values, picture))
            level = (sum_of(each.errors, errors) + each.offset) >> context.LEVEL_SHIFT
            yield distance[::between].ravel(), level[::between].ravel(), half[::between].ravel()


def _own(tap: Tap, count: int) -> Tap:
    return dataclasses.replace(tap, channel=tap.channel % count)


def _entropy(values: Array) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float(-(counts * np.log2(counts / counts.sum())).sum())
