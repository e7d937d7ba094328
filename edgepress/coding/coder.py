"""What codes a chunk: a model of what the values are, and whoever turns values into a body by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from edgepress.coding import context, plain
from edgepress.coding.context import Context
from edgepress.coding.table import Table

Array = np.ndarray[Any, Any]

Coding = Context | tuple[Table, ...]
"""What is known of a codec's values at one rate: tables chosen by neighbours, or one table for each channel."""


class Coder(Protocol):
    """Encodes and decodes chunks by one :data:`Coding`; it serves one thread at a time."""

    def encode(self, values: Array) -> bytes:
        """The body of int16 ``[channels, rows, columns]``.

        Raises:
            ValueError: there are other channels, or a value is too large to be predicted.
        """

    def decode(self, body: bytes, rows: int, columns: int) -> Array:
        """The values of a body, int16 ``[channels, rows, columns]``.

        Raises:
            DataError: the body is no such chunk's.
        """


OpenCoder = Callable[[], Coder]
"""Makes a coder: each thread has its own."""


class PortableCoder:
    """The coder by definition, in Python: the same bytes as the C library's, a hundred times slower."""

    def __init__(self, coding: Coding) -> None:
        self._coding = coding

    def encode(self, values: Array) -> bytes:
        """See :class:`Coder`."""
        known = self._coding
        if values.ndim != 3 or len(values) != channels_of(known):
            raise ValueError(f"values of shape {values.shape} for {channels_of(known)} channels")
        return context.encode(known, values) if isinstance(known, Context) else plain.encode(known, values)

    def decode(self, body: bytes, rows: int, columns: int) -> Array:
        """See :class:`Coder`."""
        known = self._coding
        if isinstance(known, Context):
            return context.decode(known, body, rows, columns)
        return plain.decode(known, body, rows, columns)


def channels_of(coding: Coding) -> int:
    """How many channels a model is for."""
    return coding.channels if isinstance(coding, Context) else len(coding)


def cost(coding: Coding, values: Array) -> float:
    """What values ``[channels, rows, columns]`` cost by a model, in bits: what no chunk's body can go below."""
    bits = 0.0
    if isinstance(coding, Context):
        found, numbers = context.distances(coding, values)
        for number, table in enumerate(coding.tables):
            bits += _with_escapes(table, found[numbers == number])
        return bits
    return sum(_with_escapes(table, plane) for table, plane in zip(coding, values, strict=True))


def _with_escapes(table: Table, values: Array) -> float:
    rare = np.asarray(values, np.int64)[table.symbols_of(values) == table.symbols - 1]
    written = np.where(rare >= 0, 2 * rare, -2 * rare - 1)
    return table.cost(values) + 8.0 * float((1 + (written >= 1 << 7) + (written >= 1 << 14)).sum())
