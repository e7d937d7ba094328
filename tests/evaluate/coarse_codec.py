"""A picture codec of a few lines, to measure the measuring with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from edgepress.errors import DataError
from edgepress.evaluate.picture_codec import Picture


@dataclass(frozen=True)
class CoarseCodec:
    """Keeps the upper bits of every sample, in zlib.

    Attributes:
        rates: how many bits.
        extra: bytes that each stream carries for nothing.
        refuses: a number of rows that it does not take.
    """

    name: str = "coarse"
    about: str = "upper bits in zlib"
    rates: tuple[float, ...] = (5, 2, 3, 4)
    extra: int = 0
    refuses: int = 0

    def encode(self, picture: Picture, rate: float) -> bytes:
        """See the class."""
        if picture.shape[0] == self.refuses:
            raise DataError(f"{self.name} does not take {self.refuses} rows")
        low = 8 - int(rate)
        sizes = np.array([*picture.shape[:2], low], "<u4").tobytes()
        return sizes + zlib.compress((picture >> low).tobytes()) + bytes(self.extra)

    def decode(self, stream: bytes) -> Picture:
        """Every sample in the middle of its step."""
        rows, columns, low = np.frombuffer(stream[:12], "<u4")
        samples = np.frombuffer(zlib.decompressobj().decompress(stream[12:]), np.uint8)
        middle = (samples.astype(int) << low) + (1 << low >> 1)
        return np.asarray(middle.reshape(rows, columns, 3).astype(np.uint8))
