"""What a picture codec is, whoever makes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

Picture = np.ndarray[Any, Any]
"""uint8 ``[rows, columns, 3]``, RGB."""


class PictureCodec(Protocol):
    """Makes bytes of a picture and a picture of bytes, at several rates.

    Attributes:
        name: as on the command line.
        about: its settings in words, which stand beside its figures.
        rates: what ``encode`` can be asked for, in an order of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def rates(self) -> Sequence[float]: ...

    def encode(self, picture: Picture, rate: float) -> bytes:
        """The whole stream or file, as it would be kept or sent.

        Raises:
            EdgepressError: the codec does not take such a picture.
        """
        ...

    def decode(self, stream: bytes) -> Picture:
        """The picture, every sample of it made.

        Raises:
            EdgepressError: the stream is damaged.
        """
        ...
