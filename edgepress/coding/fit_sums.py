"""One channel's sums from latents: which neighbours, and with what weights.

The neighbours that tell most are chosen one by one; their weights are least squares, in which places count more
where little is expected to go wrong, as bits are spent there on smaller errors. The same is done for the errors'
magnitudes. In the first row of a chunk nothing is known above; its sums are made as if every row were one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding import context, regression
from edgepress.coding.context import PLACES, Sums, Tap, error_of, sum_of
from edgepress.coding.regression import BEFORE, COUNT, EARLIER, HERE

Array = np.ndarray[Any, Any]

_ROUNDS = 2  # of weights, each with the errors that the one before left
_SEEN = 40_000  # places that neighbours are chosen by; weights follow from all
_GAINS = 0.001, 0.0005  # bits a value that a further neighbour must save
_SHARPNESS = 1.5  # a place counts by its expected error to this power, inversely
_CONSTANT = 8.0  # beside errors in the least squares, near their own size
_NEAR = range(9)  # of other channels: what lies farther away tells little more there, and takes long to try
_BELOW = tuple(place for place in _NEAR if PLACES[place][0] > 0)
_BESIDE = tuple(place for place in _NEAR if PLACES[place][0] == 0)


@dataclass(frozen=True, eq=False)
class Draft:
    """A channel's sums before their weights for errors are whole.

    Attributes:
        values: taps over values.
        tell: neighbours, as :mod:`edgepress.coding.regression` numbers them, whose errors tell of this one's.
        weights: theirs, float64, 0 or more.
        least: what is added.
    """

    values: tuple[Tap, ...]
    tell: tuple[int, ...]
    weights: Array
    least: float

    def sums(self, scale: float) -> Sums:
        """With whole weights for errors, multiplied by a scale."""
        return Sums(self.values, taps_of(self.tell, self.weights * scale), round(self.least * scale))

    def expected(self, errors: Sequence[Array]) -> Array:
        """The error expected at each place of all pictures, in sixteenths."""
        seen = np.concatenate([regression.gather(each, self.tell) for each in errors], 1)
        found: Array = self.weights @ seen + self.least
        return found


class Bench:
    """Latents under work.

    Attributes:
        pictures: int64 ``[channels, rows, columns]`` each.
        errors: for each picture ``[2 · channels, rows, columns]``: first what is left where every row counts as a
            chunk's first, then what is left otherwise.
    """

    def __init__(self, pictures: Sequence[Array], most: tuple[int, int]) -> None:
        """Begin.

        Args:
            pictures: the latents.
            most: neighbours in a sum of values and in one of errors.
        """
        self.pictures = pictures
        self.errors = [np.zeros((2 * len(each), *each.shape[1:]), np.int64) for each in pictures]
        self._count = len(pictures[0])
        self._most = most
        every = sum(each[0].size for each in pictures)
        self._few = slice(None, None, max(1, min(len(pictures), every // _SEEN)))

    def fit_rest(self, channel: int, before: Sequence[int]) -> Draft:
        """The sums of a channel where the row above is known; those before it in the order must be done."""
        values = _named(channel, EARLIER) + [number for k in before for number in _named(k, _NEAR)]
        errors = [number + COUNT * self._count for number in values]
        return self._fit(channel, self._count + channel, values, errors)

    def fit_first(self, channel: int, before: Sequence[int]) -> Draft:
        """The sums in a chunk's first row; all of :meth:`fit_rest` must be done."""
        beside = _named(channel, BEFORE) + [number for k in before for number in _named(k, _BESIDE)]
        below = [number for k in before for number in _named(k, _BELOW)]
        return self._fit(
            channel, channel, beside + below, beside + [number + COUNT * self._count for number in below]
        )

    def _fit(self, channel: int, plane: int, by_values: Sequence[int], by_errors: Sequence[int]) -> Draft:
        chosen = self._best(self.pictures, channel, by_values, 0)
        seen = np.concatenate([regression.gather(each, chosen) for each in self.pictures], 1)
        wanted = np.concatenate([each[channel].ravel() for each in self.pictures]).astype(np.float64)
        importance = np.ones(len(wanted))
        tell: list[int] | None = None
        for _ in range(_ROUNDS):
            values = taps_of(chosen, regression.solve(seen, wanted, importance) * (1 << context.ONE))
            for picture, errors in zip(self.pictures, self.errors, strict=True):
                errors[plane] = error_of(picture[channel], sum_of(values, picture))
            tell = self._best(self.errors, plane, by_errors, 1) if tell is None else tell
            draft = self._expected(plane, values, tell)
            size = np.maximum(draft.expected(self.errors) / (1 << context.FINE), 0.15)
            importance = np.round(1000 / (size**_SHARPNESS + 0.1))
        return draft

    def _best(self, planes: Sequence[Array], plane: int, candidates: Sequence[int], kind: int) -> list[int]:
        """The candidates that tell most of a plane: of values (kind 0), or of errors, which only add (kind 1)."""
        every = [*candidates, COUNT * plane + HERE]
        known, last = regression.products(planes[self._few], every), len(every)
        found = regression.choose(
            known,
            last - 1,
            range(last - 1),
            self._most[kind],
            _GAINS[kind],
            given=[last] * kind,
            positive=kind == 1,
        )
        return [every[k] for k in found]

    def _expected(self, plane: int, values: tuple[Tap, ...], tell: Sequence[int]) -> Draft:
        seen = np.concatenate([regression.gather(each, tell) for each in self.errors], 1)
        seen = np.concatenate([seen, np.full((1, seen.shape[1]), _CONSTANT)])
        wanted = np.concatenate([each[plane].ravel() for each in self.errors]).astype(np.float64)
        importance = np.ones(len(wanted))
        for _ in range(3):  # magnitudes scatter as much as they are large
            weights = np.maximum(regression.solve(seen, wanted, importance), 0)
            importance = np.round(1e6 / (np.maximum(weights @ seen, 1.6) ** 2 + 12.8))
        return Draft(values, tuple(tell), weights[:-1], float(weights[-1]) * _CONSTANT)


def _named(channel: int, places: Sequence[int]) -> list[int]:
    return [COUNT * channel + place for place in places]


def taps_of(neighbours: Sequence[int], weights: Array) -> tuple[Tap, ...]:
    """Taps with whole weights, of which a context takes as many together."""
    whole = np.clip(np.round(weights), -(2**15) + 1, 2**15 - 1).astype(np.int64)
    if abs(whole).sum() > context.MOST_WEIGHT:  # of latents that are nearly the same everywhere
        whole = np.sign(whole) * (abs(whole) * context.MOST_WEIGHT // abs(whole).sum())
    return tuple(
        Tap(number // COUNT, *PLACES[number % COUNT], int(weight))
        for number, weight in zip(neighbours, whole, strict=True)
        if weight
    )
