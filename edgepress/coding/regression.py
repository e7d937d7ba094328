"""Which neighbours tell most of a value, and with what weights: least squares on whole numbers.

A neighbour has a number: ``25 · channel + place``, places being those of :data:`edgepress.coding.context.PLACES`. Sums
of products of whole numbers are exact in 64-bit floats whatever their order, so that the same latents give the same
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepress.coding.context import PLACES, REACH

Array = np.ndarray[Any, Any]

COUNT = len(PLACES)
HERE = PLACES.index((0, 0))
BEFORE = PLACES.index((0, -1)), PLACES.index((0, -2))
EARLIER = tuple(place for place in range(COUNT) if PLACES[place] < (0, 0))
_RIDGE = 1e-9


def gather(planes: Array, neighbours: Sequence[int]) -> Array:
    """Neighbours at every place of ``[channels, rows, columns]``; 0 outside.

    Returns:
        float64 ``[neighbours, rows · columns]``.
    """
    _, rows, columns = planes.shape
    used = sorted({number // COUNT for number in neighbours})
    padded = np.pad(planes[used], ((0, 0), (REACH, REACH), (REACH, REACH)))
    found = np.empty((len(neighbours), rows, columns))
    for out, number in zip(found, neighbours, strict=True):
        plane, (row, column) = padded[used.index(number // COUNT)], PLACES[number % COUNT]
        down, right = REACH + row, REACH + column
        out[...] = plane[down : down + rows, right : right + columns]
    return found.reshape(len(neighbours), rows * columns)


def products(pictures: Sequence[Array], neighbours: Sequence[int]) -> Array:
    """The sums of products of every two of these neighbours over all places of all pictures, and of each with 1.

    Returns:
        float64 ``[neighbours + 1, neighbours + 1]``; the last row and column are 1's.
    """
    size = len(neighbours) + 1
    found = np.zeros((size, size))
    for planes in pictures:
        seen = np.ones((size, planes[0].size))
        seen[:-1] = gather(planes, neighbours)
        found += seen @ seen.T
    return found


def choose(
    known: Array, wanted: int, candidates: Sequence[int], most: int, gain: float, *, given: Sequence[int] = (),
    positive: bool = False,
) -> list[int]:  # fmt: skip
    """Forward selection: the candidates that lower the squared error most, one after the other.

    Args:
        known: products as :func:`products` gives them; numbers below are its rows.
        wanted: what is predicted.
        candidates: what may be used.
        most: how many at most.
        gain: bits a value that the next one must save, at least.
        given: used without being counted.
        positive: only what adds to the prediction.
    """
    names = [wanted, *given, *sorted(set(candidates))]  # few of all that is known
    own_squares = np.diag(known)[names]
    swept = known[np.ix_(names, names)]
    swept[np.diag_indices_from(swept)] += _RIDGE * float(own_squares.sum()) / len(names)
    chosen: list[int] = []
    left = np.arange(1 + len(given), len(names))

    def use(number: int) -> None:
        row = swept[number].copy()
        swept[...] -= np.outer(row, row) / row[number]
        swept[number], swept[:, number] = 0, 0

    for number in range(1, 1 + len(given)):
        use(number)
    while len(chosen) < most and len(left):
        own = swept[left, left]
        useful = own > 1e-6 * own_squares[left]
        if positive:
            useful &= swept[0, left] > 0
        saved = np.where(useful, swept[0, left] ** 2 / np.where(useful, own, 1), 0)
        best = int(saved.argmax())
        share = saved[best] / max(swept[0, 0], 1e-12)
        if -0.5 * np.log2(max(1e-12, 1 - share)) < gain:
            break
        chosen.append(names[left[best]])
        use(int(left[best]))
        left = np.delete(left, best)
    return chosen


def solve(seen: Array, wanted: Array, importance: Array) -> Array:
    """The weights of ``seen [n, places]`` whose sum is nearest to ``wanted [places]``, places by importance."""
    weighted = seen * importance
    squares = weighted @ seen.T
    squares[np.diag_indices_from(squares)] += _RIDGE * float(np.trace(squares)) / max(1, len(squares)) + 1e-9
    solved: Array = np.linalg.solve(squares, weighted @ wanted)
    return solved
