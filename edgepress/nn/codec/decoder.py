"""The decoder: latents to samples; residual blocks at the latents' own rate, then the inverse wavelet packet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.convolution import convolution, zero
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.codec.wavelet_packet import Synthesis, synthesis_halo

_SIZE = 3


class Decoder(nn.Module):
    """Latents with their halo, and the step → samples: ``[n, latents + 1, …]`` → ``[n, channels, …]``.

    The last channel is :func:`step_plane`, so that one network serves every rate. A linear path from latents to bands
    runs beside the network, which adds what a linear one cannot know. With ``refine``, latents are first dealt to
    denser positions, where both begin.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        inner, bands = config.latents // config.dealt, config.bands // config.dealt
        self.spread = (
            convolution(config.axes, config.latents, config.latents, _SIZE) if config.refine else None
        )
        self.linear = convolution(config.axes, inner, bands)
        self.first = convolution(config.axes, inner + 1, config.width, _SIZE)
        self.blocks = nn.ModuleList(DecoderBlock(config.axes, config.width) for _ in range(config.blocks))
        self.last = convolution(config.axes, config.width, bands)
        zero(self.last)  # begins as the linear one
        self.synthesis = Synthesis(config.axes, config.levels - config.refine)

    @property
    def halo(self) -> int:
        """Latents needed at each side of those it is for, along each axis."""
        return -(-self._dense_halo // int(2**self.config.refine)) + (1 if self.spread is not None else 0)

    @property
    def _dense_halo(self) -> int:
        halo: int = self.rings + synthesis_halo(self.synthesis.levels)
        return halo

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
        latents, plane = x[:, :-1] * (1 / LATENT_UNIT), x[:, -1:]
        if self.spread is not None:
            ratio, dealt = 2**self.config.refine, self.config.dealt
            latents = dealt_out(self.spread(_edged(latents, 1) if padded else latents), ratio)
            plane = dealt_out((plane if padded else cropped(plane, 1)).repeat_interleave(dealt, 1), ratio)
            if not padded:
                spare = ratio * (self.halo - 1) - self._dense_halo
                latents, plane = cropped(latents, spare), cropped(plane, spare)
        y = torch.cat([latents, plane], 1)
        y = self.first(_edged(y, 1) if padded else y)
        for block in self.blocks:
            y = block(y, padded)
        with torch.autocast(x.device.type, enabled=False):  # samples need more than bfloat16's eight bits
            direct = self.linear(latents.float())
            if not padded:
                direct = cropped(direct, self.rings)
            bands = direct + self.last(y.float())
            if padded:
                edge = synthesis_halo(self.synthesis.levels)
                bands = functional.pad(bands, (edge, edge) * self.config.axes, "replicate")
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
        y: Tensor = self.second(functional.relu(self.first(_edged(x, 1) if padded else x)))
        return (x if padded else cropped(x, 1)) + y


def dealt_out(x: Tensor, ratio: int) -> Tensor:
    """``[n, c · ratio^axes, …]`` → ``[n, c, …]`` with every extent ``ratio`` times as long, rows before columns."""
    axes = x.dim() - 2
    x = x.reshape(len(x), -1, *(ratio,) * axes, *x.shape[2:])
    order = [place for axis in range(axes) for place in (2 + axes + axis, 2 + axis)]
    x = x.permute(0, 1, *order)
    return x.reshape(*x.shape[:2], *[x.shape[2 + 2 * axis] * ratio for axis in range(axes)])


def step_plane(step: Tensor, like: Tensor) -> Tensor:
    """log2(step) / 4 at every position: ``[n]`` and latents ``[n, latents, …]`` → ``[n, 1, …]``."""
    value = (torch.log2(step) / 4).reshape(-1, *(1,) * (like.dim() - 1)).to(like.dtype)
    return value.expand(-1, 1, *like.shape[2:])


def cropped(x: Tensor, rings: int) -> Tensor:
    """Without so many positions at each side of every axis."""
    for axis in range(2, x.dim()):
        x = x.narrow(axis, rings, x.shape[axis] - 2 * rings)
    return x


def _edged(x: Tensor, rings: int) -> Tensor:
    return functional.pad(x, (rings, rings) * (x.dim() - 2))
