"""What a codec is made of, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["walloc", "liveaction"]


@dataclass(frozen=True)
class CodecConfig:
    """A codec's form.

    Attributes:
        kind: ``walloc`` (the encoder is linear up to companding) or ``liveaction`` (with factorised residual blocks).
        axes: 1 for recordings, 2 for pictures, 3 for volumes.
        channels: of what is encoded.
        levels: of the wavelet packet; each latent stands for ``2**levels`` samples along each axis.
        latents: channels of the latents.
        bits: of a code's range at step 1.
        encoder_blocks: residual blocks of the encoder; none for walloc.
        width: channels of the decoder.
        blocks: residual blocks of the decoder.
        refine: the decoder's network runs on positions ``2**refine`` times as dense as the latents'.
    """

    kind: Kind = "walloc"
    axes: int = 2
    channels: int = 3
    levels: int = 3
    latents: int = 12
    bits: int = 10
    encoder_blocks: int = 0
    width: int = 192
    blocks: int = 6
    refine: int = 0

    def __post_init__(self) -> None:
        if self.kind == "walloc" and (self.encoder_blocks or self.axes > 2):
            raise ValueError("walloc has 1 or 2 axes and no residual blocks in its encoder")
        for name, low, high in (
            ("axes", 1, 3), ("channels", 1, 256), ("levels", 1, 10), ("latents", 1, 1024), ("bits", 4, 14),
            ("encoder_blocks", 0, 64), ("width", 8, 2048), ("blocks", 0, 64), ("refine", 0, self.levels - 1),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is from {low} to {high}, not {getattr(self, name)}")
        if self.bands > 1 << 14:
            raise ValueError(f"{self.channels} channels split {self.levels} times make {self.bands} bands")
        if self.latents % self.dealt:
            raise ValueError(
                f"refine = {self.refine} deals {self.latents} latents to {self.dealt} positions each"
            )

    @property
    def dealt(self) -> int:
        """Positions of the decoder's network for each of the latents'."""
        return int(2 ** (self.refine * self.axes))

    @property
    def factor(self) -> int:
        """Samples along each axis that one latent stands for."""
        return int(2**self.levels)

    @property
    def share(self) -> float:
        """Latents for each sample position (a pixel, whatever its channels)."""
        return self.latents / float(self.factor**self.axes)

    @property
    def bands(self) -> int:
        """Channels between the wavelet packet and the latents."""
        return int(self.channels * self.factor**self.axes)
