"""Coders that are kept from one stream to the next: making one takes longer than coding a small picture."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import numpy as np

from edgepress.coding.coder import Coder, OpenCoder

Array = np.ndarray[Any, Any]


class KeptCoders:
    """Coders of one model; any number of threads may use them.

    Args:
        open_coder: makes one.
    """

    def __init__(self, open_coder: OpenCoder) -> None:
        self._open, self._kept = open_coder, list[Coder]()
        self._lock = threading.Lock()

    def opener(self) -> OpenCoder:
        """What gives the threads that work on one stream a coder each."""
        numbers = itertools.count()
        return lambda: self._at(next(numbers))

    def _at(self, number: int) -> Coder:
        with self._lock:
            while len(self._kept) <= number:
                self._kept.append(_OneAtATime(self._open()))
            return self._kept[number]


class _OneAtATime:
    """A coder that waits for whoever uses it: another stream's thread may have the same one."""

    def __init__(self, coder: Coder) -> None:
        self._coder, self._lock = coder, threading.Lock()

    def encode(self, values: Array) -> bytes:
        with self._lock:
            return self._coder.encode(values)

    def decode(self, body: bytes, rows: int, columns: int) -> Array:
        with self._lock:
            return self._coder.decode(body, rows, columns)
