"""Small tables, contexts and values for the tests of coding."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edgepress.coding.context import Context, Sums, Tap, distances
from edgepress.coding.table import fit_table

Array = np.ndarray[Any, Any]
LEVELS = (2, 8, 30, 100, 400)
ORDER = (1, 0, 2)


def smooth(shape: tuple[int, int, int], seed: int) -> Array:
    """Values whose neighbours are alike, int16."""
    steps = np.random.default_rng(seed).normal(0, 0.8, shape)
    return np.cumsum(np.cumsum(steps, 1), 2).round().astype(np.int16)


def small_context(seed: int, bits: int = 12) -> Context:
    """Three channels that look at their neighbours and at channel 1, the first that is coded."""

    def taps(own: tuple[int, ...], first: int) -> tuple[tuple[Tap, ...], ...]:
        near = ((0, -1), (-1, 0), (-1, 1), (-1, -1), (-2, 2), (0, -2))
        return tuple(
            (
                *(Tap(channel, *place, weight) for place, weight in zip(near, own, strict=True)),
                *(
                    (
                        Tap(1, 1, 1, first),
                        Tap(1, 2, -2, 2),
                    )
                    if channel != 1
                    else ()
                ),
            )
            for channel in range(3)
        )

    sums = zip(
        taps((200, 180, 20, -140, 3, -9), -4), taps((60, 50, 30, 20, 10, 15), 9), (10, 20, 30), strict=True
    )
    rest = tuple(Sums(*each) for each in sums)
    first = tuple(Sums((Tap(channel, 0, -1, 250),), (Tap(channel, 0, -1, 180),), 40) for channel in range(3))
    tables = tuple(fit_table(np.arange(-9, 10)) for _ in range(2 * len(LEVELS) + 2))
    draft = Context(ORDER, first, rest, LEVELS, tables)
    found, which = distances(draft, smooth((3, 60, 60), seed))
    fitted = (fit_table(np.append(found[which == number], [-1, 0, 1]), bits) for number in range(len(tables)))
    return dataclasses.replace(draft, tables=tuple(fitted))
