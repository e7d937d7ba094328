"""Golden streams: values and models of whole numbers alone, so that they never change with a library's version."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepress.coding.coder import Coding, PortableCoder
from edgepress.coding.context import Context, Sums, Tap
from edgepress.coding.table import Table

Array = np.ndarray[Any, Any]
SHAPES = ((9, 14), (1, 37), (16, 5))


def table(width: int, bits: int) -> Table:
    """Falls off on both sides of 0 to ``width`` and leaves 1 to rare values."""
    falling = [
        max(1, (1 << bits) // (width + 2) * (width - abs(k)) ** 2 // (width * width))
        for k in range(-width, width + 1)
    ]
    falling[width] += (1 << bits) - 1 - sum(falling)
    return Table(-width, bits, np.array([*falling, 1], np.uint16))


def models() -> tuple[Coding, ...]:
    """Tables for channels, and tables chosen by neighbours, for five channels."""
    order = (3, 0, 4, 1, 2)
    first, rest = [], []
    for channel in range(5):
        known = order[: order.index(channel)]
        other = tuple(Tap(k, k % 3 - 1, (k + channel) % 3 - 1, 20 * k - 30) for k in known)
        near = tuple(
            Tap(channel, row, column, w) for row, column, w in ((0, -1, 150), (-1, 0, 140), (-1, -1, -60))
        )
        tell = tuple(
            Tap(channel, row, column, w) for row, column, w in ((0, -1, 700), (-1, 0, 600), (-1, 1, 300))
        )
        wide = tuple(Tap(k, 0, (k + channel) % 3 - 1, 90) for k in known)
        first.append(Sums((*near[:1], *other), (*tell[:1], *wide), 3000))
        rest.append(Sums((*near, *other), (*tell, *wide), 1000))
    widths = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32)
    tables = tuple(table(width, 9 + k % 5) for k, width in enumerate(widths))
    return (
        tuple(table(6 + 5 * k, 10 + k) for k in range(5)),
        Context(order, tuple(first), tuple(rest), (20, 60, 150, 400), tables),
    )


def values(rows: int, columns: int) -> Array:
    """Five channels whose neighbours are alike, with a few far values, int16."""
    state, found = 12345, np.zeros((5, rows, columns), np.int64)
    for place in np.ndindex(found.shape):
        state = (state * 1103515245 + 12345) % (1 << 31)
        found[place] = (state >> 16) % 7 - 3
    found = np.cumsum(np.cumsum(found, 1), 2) // 3
    found[1, rows // 2, columns // 2], found[4, -1, -1] = 16383, -16383
    return found.astype(np.int16)


def bodies() -> list[tuple[int, tuple[int, int], bytes]]:
    """Rate, shape and body by the definition."""
    return [
        (rate, shape, PortableCoder(coding).encode(values(*shape)))
        for rate, coding in enumerate(models())
        for shape in SHAPES
    ]
