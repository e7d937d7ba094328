"""Coders that are kept from one stream to the next: making one takes longer than coding a small picture."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgepress.bundle import Bundle
from edgepress.coding.coder import Coder, OpenCoder, channels_of
from edgepress.coding.description import model_name
from edgepress.coding.frozen import read_codings
from edgepress.errors import BundleError
from edgepress.runtimes.coders import coder_opener

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


class RateCoders:
    """The coders of a bundle's rates, each made when its rate is first used.

    Args:
        bundle: the open bundle.
        tables: of one of its parts, name to member.
        channels: of what is coded.
    """

    def __init__(self, bundle: Bundle, tables: Mapping[str, str], channels: int) -> None:
        self._bundle, self._tables, self._channels = bundle, tables, channels
        self._kept: dict[int, KeptCoders] = {}
        self._lock = threading.Lock()

    def opener(self, rate: int) -> OpenCoder:
        """What makes coders for a rate.

        Raises:
            BundleError: its tables are damaged, or are for other channels.
        """
        with self._lock:
            if rate not in self._kept:
                (coding,) = read_codings(bytes(self._bundle.member(self._tables[model_name(rate)])))
                if channels_of(coding) != self._channels:
                    raise BundleError(
                        f"the tables of {self._bundle.path} are for {channels_of(coding)} channels and what is sent "
                        f"has {self._channels}; build the bundle again"
                    )
                self._kept[rate] = KeptCoders(coder_opener(coding))
            return self._kept[rate].opener()

    def clear(self) -> None:
        """Let the coders go."""
        self._kept.clear()


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
