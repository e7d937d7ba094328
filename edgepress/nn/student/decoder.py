"""What the server begins with: latents to the teacher's input, or to one of its maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.decoder import Decoder as CodecDecoder
from edgepress.nn.codec.decoder import DecoderBlock
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.student.config import StudentConfig


def decoder_for(config: StudentConfig) -> nn.Module:
    """``[n, latents + 1, rows, columns]`` → what the rest of the teacher takes; the last channel tells the rate."""
    return PictureDecoder(config) if config.features is None else FeatureDecoder(config)


class PictureDecoder(nn.Module):
    """Latents → the teacher's input: a codec's decoder, so that it can begin with one that is trained."""

    scale: Tensor
    shift: Tensor

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(config.scale).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(config.shift).reshape(1, -1, 1, 1), persistent=False)
        self.inner = CodecDecoder(
            CodecConfig(
                channels=config.picture[0], levels=config.levels, latents=config.latents, width=config.width,
                blocks=config.blocks,
            )
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`decoder_for`."""
        picture: Tensor = (self.inner(x, padded=True) - self.shift) / self.scale
        return picture


class FeatureDecoder(nn.Module):
    """Latents → a map of the teacher's: residual blocks at the latents' own rate, then larger or smaller."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        assert config.features is not None
        self.first = nn.Conv2d(config.latents + 1, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(DecoderBlock(2, config.width) for _ in range(config.blocks))
        channels, doublings = config.features[0], config.doublings
        self.resize: nn.Module = nn.Identity()
        if doublings > 0:
            self.resize = nn.PixelShuffle(2**doublings)
            channels *= 4**doublings
        stride = 2 ** max(0, -doublings)
        self.last = nn.Conv2d(config.width, channels, 2 * stride - 1, stride, stride - 1)

    def forward(self, x: Tensor) -> Tensor:
        """See :func:`decoder_for`."""
        y = self.first(torch.cat([x[:, :-1] * (1 / LATENT_UNIT), x[:, -1:]], 1))
        for block in self.blocks:
            y = block(y, padded=True)
        features: Tensor = self.resize(self.last(torch.relu(y)))
        return features
