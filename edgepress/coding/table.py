"""Probabilities frozen as whole numbers: how often each value is expected, out of a power of two."""

from __future__ import annotations

import functools
import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import BundleError

Array = np.ndarray[Any, Any]

LEAST_BITS, MOST_BITS = 8, 15
MOST_SYMBOLS = 256


@dataclass(frozen=True, eq=False)
class Table:
    """Expected frequencies of the values ``low`` … ``low + symbols − 2``; the last symbol is the escape.

    The escape stands for every other value, which is then written out.

    Attributes:
        low: the value of symbol 0.
        bits: the frequencies add up to ``2**bits``.
        frequencies: uint16 ``[symbols]``, each at least 1.
    """

    low: int
    bits: int
    frequencies: Array

    def __post_init__(self) -> None:
        frequencies = np.asarray(self.frequencies, np.uint16)
        object.__setattr__(self, "frequencies", frequencies)
        if not LEAST_BITS <= self.bits <= MOST_BITS:
            raise BundleError(f"a table of {self.bits} bits; there are {LEAST_BITS} to {MOST_BITS}")
        if frequencies.ndim != 1 or not 2 <= len(frequencies) <= MOST_SYMBOLS:
            raise BundleError(f"a table of shape {frequencies.shape}; it has 2 to {MOST_SYMBOLS} symbols")
        if not -(2**15) <= self.low <= 2**15 - len(frequencies):
            raise BundleError(f"a table's lowest value {self.low} is none of 16 bits")
        if not frequencies.all() or int(frequencies.sum(dtype=np.uint64)) != 1 << self.bits:
            raise BundleError(
                f"a table's frequencies add up to {int(frequencies.sum(dtype=np.uint64))} or hold a zero; "
                f"each is at least 1, together 2**{self.bits}"
            )

    @property
    def symbols(self) -> int:
        """How many symbols there are, the escape too."""
        return len(self.frequencies)

    @functools.cached_property
    def starts(self) -> Array:
        """uint32 ``[symbols]``: where each symbol's share of the slots ``0 … 2**bits − 1`` begins."""
        return np.concatenate([[0], np.cumsum(self.frequencies[:-1], dtype=np.uint32)]).astype(np.uint32)

    @functools.cached_property
    def owners(self) -> Array:
        """uint8 ``[2**bits]``: the symbol that each slot belongs to."""
        return np.repeat(np.arange(self.symbols, dtype=np.uint8), self.frequencies)

    @functools.cached_property
    def spans(self) -> tuple[bytes, list[tuple[int, int]]]:
        """The owners, and each symbol's frequency and start: Python's own, for reading value by value."""
        spans = zip(self.frequencies.tolist(), self.starts.tolist(), strict=True)
        return self.owners.tobytes(), list(spans)

    def symbols_of(self, values: Array) -> Array:
        """The symbol of each value, as int64 of the same shape."""
        places = np.asarray(values, np.int64) - self.low
        return np.where((places >= 0) & (places < self.symbols - 1), places, self.symbols - 1)

    def cost(self, values: Array) -> float:
        """What the values cost by these probabilities, in bits; an escape's own value is not counted."""
        shares = self.frequencies[self.symbols_of(values)].astype(np.float64)
        return float(self.bits * shares.size - np.log2(shares).sum())


def fit_table(values: Array, bits: int = 12, widest: int = MOST_SYMBOLS) -> Table:
    """The table under which such values cost least, as far as whole frequencies allow.

    Args:
        values: integers seen; of 16 bits.
        bits: of the sum of frequencies.
        widest: the most symbols, the escape too.

    Raises:
        ValueError: there are no values.
    """
    seen, counts = np.unique(np.asarray(values, np.int64), return_counts=True)
    if not len(seen):
        raise ValueError("no values to fit a table to")
    low, high = _span(seen, counts, bits, widest)
    inside = (seen >= low) & (seen <= high)
    wanted = np.zeros(high - low + 2, np.float64)
    wanted[seen[inside] - low] = counts[inside]
    wanted[-1] = counts[~inside].sum()
    return Table(int(low), bits, whole_frequencies(wanted, bits))


def _span(seen: Array, counts: Array, bits: int, widest: int) -> tuple[int, int]:
    """The values that get a symbol: rarer ones at the ends than one slot's share become escapes."""
    low, high = 0, len(seen) - 1
    rare = counts.sum() / 2**bits / 4
    while low < high and counts[low] < rare and counts[low] <= counts[high]:
        low += 1
    while high > low and counts[high] < rare:
        high -= 1
    while low < high and counts[low] < rare:
        low += 1
    while seen[high] - seen[low] + 2 > widest:
        if counts[low] <= counts[high]:
            low += 1
        else:
            high -= 1
    return int(seen[low]), int(seen[high])


def whole_frequencies(weights: Array, bits: int) -> Array:
    """Whole frequencies, each at least 1 and ``2**bits`` together, that cost least for data of these weights.

    Begins with the rounded shares and moves single slots to where the cost falls most: the cost of a symbol
    of weight w and frequency f is −w·log2 f, convex in f, so that this ends in the optimum.
    """
    weights = np.asarray(weights, np.float64)
    total = 1 << bits
    shares = weights / max(weights.sum(), 1e-300) * total
    found = np.maximum(1, np.floor(shares)).astype(np.int64)

    def gain(symbol: int) -> float:  # of one slot more
        return float(weights[symbol]) * float(np.log2((found[symbol] + 1) / found[symbol]))

    def loss(symbol: int) -> float:  # of one slot less
        if found[symbol] == 1:
            return float("inf")
        return float(weights[symbol]) * float(np.log2(found[symbol] / (found[symbol] - 1)))

    left = total - int(found.sum())
    heap = [((-gain(k) if left > 0 else loss(k)), k) for k in range(len(found))]
    heapq.heapify(heap)
    while left:
        _, symbol = heapq.heappop(heap)
        found[symbol] += 1 if left > 0 else -1
        heapq.heappush(heap, (-gain(symbol) if left > 0 else loss(symbol), symbol))
        left += -1 if left > 0 else 1
    frequencies: Array = found.astype(np.uint16)
    return frequencies
