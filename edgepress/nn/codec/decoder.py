"""The decoder: latents to samples; residual blocks at the latents' own rate, then the inverse wavelet packet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.convolution import convolution
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.codec.wavelet_packet import Synthesis, synthesis_halo

_SIZE = 3


class Decoder(nn.Module):
    """Latents with their halo, and the step → samples: ``[n, latents + 1, …]`` → ``[n, channels, …]``.

    The last channel is :func:`step_plane`, so that one network serves every rate. A linear path from latents to bands
    runs beside the network, which adds what a linear one cannot know.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = convolution(config.axes, config.latents, config.bands)
        self.first = convolution(config.axes, config.latents + 1, config.width, _SIZE)
        self.blocks = nn.ModuleList(DecoderBlock(config.axes, config.width) for _ in range(config.blocks))
        self.last = convolution(config.axes, config.width, config.bands)
        nn.init.zeros_(self.last.weight)  # begins as the linear one
        nn.init.zeros_(self.last.bias)
        self.synthesis = Synthesis(config.axes, config.levels)

    @property
    def halo(self) -> int:
        """Latents needed at each side of those it is for, along each axis."""
        return self.rings + synthesis_halo(self.config.levels)

    @property
    def rings(self) -> int:
        """What the network's own convolutions take off at each side."""
        return (_SIZE // 2) * (1 + self.config.blocks)

    def forward(self, x: Tensor, padded: bool = False) -> Tensor:
        """See the class.

        Args:
            padded: gives the extents of ``x`` without its halo when False; when True ``x`` has no halo and the edges
                are made up: for training, where crops would lose too much to halos.
        """
        latents = x[:, :-1] * (1 / LATENT_UNIT)
        y = torch.cat([latents, x[:, -1:]], 1)
        y = self.first(_edged(y, 1) if padded else y)
        for block in self.blocks:
            y = block(y, padded)
        with torch.autocast(x.device.type, enabled=False):  # samples need more than bfloat16's eight bits
            direct = self.linear(latents.float())
            if not padded:
                direct = _cropped(direct, self.rings)
            bands = direct + self.last(y.float())
            if padded:
                bands = functional.pad(
                    bands, (synthesis_halo(self.config.levels),) * 2 * self.config.axes, "replicate"
                )
            samples: Tensor = self.synthesis(bands)
            return samples


class DecoderBlock(nn.Module):
    """A convolution of 3, ReLU, a convolution of 1; added to what came in."""

    def __init__(self, axes: int, width: int) -> None:
        super().__init__()
        self.first = convolution(axes, width, width, _SIZE)
        self.second = convolution(axes, width, width)

    def forward(self, x: Tensor, padded: bool = False) -> Tensor:
        """``[n, width, …]``, smaller by one at each edge where it is not padded."""
        y = self.second(functional.relu(self.first(_edged(x, 1) if padded else x)))
        return (x if padded else _cropped(x, 1)) + y


def step_plane(step: Tensor, like: Tensor) -> Tensor:
    """log2(step) / 4 at every position: ``[n]`` and latents ``[n, latents, …]`` → ``[n, 1, …]``."""
    value = (torch.log2(step) / 4).reshape(-1, *(1,) * (like.dim() - 1)).to(like.dtype)
    return value.expand(-1, 1, *like.shape[2:])


def _cropped(x: Tensor, rings: int) -> Tensor:
    for axis in range(2, x.dim()):
        x = x.narrow(axis, rings, x.shape[axis] - 2 * rings)
    return x


def _edged(x: Tensor, rings: int) -> Tensor:
    return functional.pad(x, (rings, rings) * (x.dim() - 2))
