"""An entropic student: an encoder for the device, a prior, and a decoder that stands for the teacher's first layers.

After Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems"
(WACV 2022). Unlike there, one student serves several rates: each has a step for every latent, learned with the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.gdn import DivisiveNorm
from edgepress.nn.student.prior import FactorisedPrior

LIMIT = 1023
"""The greatest magnitude of an integer that is sent."""


class Encoder(nn.Module):
    """A picture → latents: ``[n, channels, rows, columns]`` → ``[n, latents, rows / 8, columns / 8]``."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        first, second = config.widths
        self.stem = nn.Conv2d(config.picture[0], first, 6, 4, 1)
        self.stem_norm = _norm(config, first)
        self.down = nn.Conv2d(first, second, 3, 2, 1)
        self.down_norm = _norm(config, second)
        self.blocks = nn.Sequential(*(DepthwiseBlock(second) for _ in range(config.encoder_blocks)))
        self.last = nn.Conv2d(second, config.latents, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.down_norm(self.down(self.stem_norm(self.stem(x))))
        latents: Tensor = self.last(self.blocks(x))
        return latents


class DepthwiseBlock(nn.Module):
    """A depthwise convolution of 3, ReLU, a convolution of 1; added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channels, rows, columns]``, of the same shape."""
        y: Tensor = self.pointwise(torch.relu(self.depthwise(x)))
        return x + y


class Decoder(nn.Module):
    """Latents and the rate's plane → the teacher's features: ``[n, latents + 1, …]`` → ``[n, *features]``."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.first = nn.Conv2d(config.latents + 1, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(config.width) for _ in range(config.blocks)))
        channels, doublings = config.features[0], config.doublings
        self.resize: nn.Module = nn.Identity()
        if doublings > 0:
            self.resize = nn.PixelShuffle(2**doublings)
            channels *= 4**doublings
        stride = 2 ** max(0, -doublings)
        self.last = nn.Conv2d(config.width, channels, 2 * stride - 1, stride, stride - 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.resize(self.last(self.blocks(self.first(x))))
        return features


class ResidualBlock(nn.Module):
    """ReLU, a convolution of 3, ReLU, a convolution of 1; added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """``[n, width, rows, columns]``, of the same shape."""
        y: Tensor = self.second(torch.relu(self.first(torch.relu(x))))
        return x + y


class Student(nn.Module):
    """Encoder, steps, prior and decoder."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.prior = FactorisedPrior(config.latents)
        self.log_steps = nn.Parameter(torch.linspace(0, 1, config.rates)[:, None].repeat(1, config.latents))

    def steps(self, rate: Tensor) -> Tensor:
        """What latents are divided by before they are rounded: rates ``[n]`` → ``[n, latents]``."""
        return torch.exp(self.log_steps)[rate]

    def noisy(self, latents: Tensor, rate: Tensor) -> Tensor:
        """Latents with noise of a step's width, in place of rounding (Ballé et al., ICLR 2017, section 3)."""
        return latents + (torch.rand_like(latents) - 0.5) * self.steps(rate)[..., None, None]

    def symbols(self, latents: Tensor, rate: Tensor) -> Tensor:
        """What is sent: whole numbers."""
        return torch.round(latents / self.steps(rate)[..., None, None]).clamp(-LIMIT, LIMIT)

    def restored(self, symbols: Tensor, rate: Tensor) -> Tensor:
        """Latents that symbols stand for."""
        return symbols * self.steps(rate)[..., None, None]

    def features(self, latents: Tensor, rate: Tensor) -> Tensor:
        """What the decoder makes of latents that came through a stream."""
        plane = self.planes(rate)[:, None, None, None].expand(-1, 1, *latents.shape[2:])
        found: Tensor = self.decoder(torch.cat([latents, plane.to(latents.dtype)], 1))
        return found

    def planes(self, rate: Tensor) -> Tensor:
        """What tells the decoder of the rate: the mean of the steps' logarithms, ``[n]``."""
        return self.log_steps.mean(1).detach()[rate]


def _norm(config: StudentConfig, channels: int) -> nn.Module:
    return DivisiveNorm(channels) if config.norm == "gdn" else nn.ReLU()
