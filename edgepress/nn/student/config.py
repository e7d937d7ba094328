"""What a student is made of, as numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgepress.errors import UsageError

Norm = Literal["relu", "gdn"]
_LEAST_MAP = 4


@dataclass(frozen=True)
class StudentConfig:
    """The form of a student.

    Attributes:
        picture: extents of the device's input, ``[channels, rows, columns]``.
        features: extents of the map that the server's decoder gives in place of the teacher's first layers; None where
            it gives the teacher's input itself, through an inverse wavelet packet.
        scale, shift: one a channel: the device's input times ``scale`` and ``shift`` more lies in −1 … 1.
        levels: splits of the wavelet packet: a latent stands for ``2**levels`` pixels along each axis.
        latents: channels of what is sent.
        hidden: channels of the encoder's nonlinear path; 0 for a linear encoder.
        norm: in that path: ReLU, or divisive normalisation.
        width, blocks: channels and residual blocks of the decoder.
        rates: how many rate points it serves.
    """

    picture: tuple[int, int, int] = (3, 224, 224)
    features: tuple[int, int, int] | None = None
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    shift: tuple[float, ...] = (0.0, 0.0, 0.0)
    levels: int = 3
    latents: int = 20
    hidden: int = 96
    norm: Norm = "relu"
    width: int = 192
    blocks: int = 6
    rates: int = 3

    def __post_init__(self) -> None:
        channels, rows, columns = self.picture
        for name, low, high in (
            ("levels", 1, 6), ("latents", 1, 1024), ("hidden", 0, 4096), ("width", 8, 4096), ("blocks", 0, 64),
            ("rates", 1, 16),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} is from {low} to {high}, not {getattr(self, name)}")
        if rows % self.factor or columns % self.factor or min(rows, columns) < _LEAST_MAP * self.factor:
            raise UsageError(
                f"the teacher takes pictures of {columns} x {rows}; a student with {self.levels} levels needs "
                f"multiples of {self.factor}, at least {_LEAST_MAP * self.factor}"
            )
        if len(self.scale) != channels or len(self.shift) != channels:
            raise UsageError(f"scale and shift are one a channel, and the pictures have {channels}")
        if self.features is not None:
            ratio = math.log2(self.features[1] / self.map[0])
            if self.features[1] * columns != self.features[2] * rows or ratio != int(ratio):
                raise UsageError(
                    f"the layer to cut behind gives maps of {self.features[2]} x {self.features[1]} for pictures of "
                    f"{columns} x {rows}; cut where the ratio is a power of two"
                )

    @property
    def factor(self) -> int:
        """Pixels of an axis for each latent."""
        return int(2**self.levels)

    @property
    def map(self) -> tuple[int, int]:
        """Rows and columns of what is sent."""
        return self.picture[1] // self.factor, self.picture[2] // self.factor

    @property
    def bands(self) -> int:
        """Channels of the wavelet packet."""
        return self.picture[0] * self.factor**2

    @property
    def doublings(self) -> int:
        """How often a decoder of features doubles (or, where negative, halves) the map's extents."""
        assert self.features is not None
        return round(math.log2(self.features[1] / self.map[0]))
