"""What a student is made of, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgepress.errors import UsageError

Norm = Literal["relu", "gdn"]


@dataclass(frozen=True)
class StudentConfig:
    """The form of a student.

    Attributes:
        picture: extents of the device's input, ``[channels, rows, columns]``.
        features: extents of what the server's decoder gives in place of the teacher's first layers.
        latents: channels of what is sent.
        widths: channels of the encoder's two layers.
        encoder_blocks: residual blocks behind them, depthwise.
        norm: behind the encoder's layers.
        width, blocks: channels and residual blocks of the decoder.
        rates: how many rate points it serves.
    """

    picture: tuple[int, int, int] = (3, 224, 224)
    features: tuple[int, int, int] = (40, 28, 28)
    latents: int = 24
    widths: tuple[int, int] = (32, 64)
    encoder_blocks: int = 1
    norm: Norm = "relu"
    width: int = 128
    blocks: int = 4
    rates: int = 3

    def __post_init__(self) -> None:
        rows, columns = self.picture[1:]
        if rows % FACTOR or columns % FACTOR or min(rows, columns) < 4 * FACTOR:
            raise UsageError(
                f"the teacher takes pictures of {columns} x {rows}; a student needs multiples of {FACTOR}, at least "
                f"{4 * FACTOR}"
            )
        ratio = math.log2(self.features[1] * FACTOR / rows)
        if self.features[1] * columns != self.features[2] * rows or ratio != int(ratio):
            raise UsageError(
                f"the layer to cut behind gives maps of {self.features[2]} x {self.features[1]} for pictures of "
                f"{columns} x {rows}; cut where the ratio is a power of two"
            )
        for name in ("latents", "width", "rates"):
            if not 1 <= getattr(self, name) <= 1024:
                raise UsageError(f"{name} is from 1 to 1024, not {getattr(self, name)}")

    @property
    def map(self) -> tuple[int, int]:
        """Rows and columns of what is sent."""
        return self.picture[1] // FACTOR, self.picture[2] // FACTOR

    @property
    def doublings(self) -> int:
        """How often the decoder doubles (or, where negative, halves) the map's extents."""
        return round(math.log2(self.features[1] / self.map[0]))


FACTOR = 8
"""Pixels of an axis for each latent."""
