"""Convolutions over one, two or three axes, and a cheap one that is factorised into two grouped ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def convolution(axes: int, inputs: int, outputs: int, size: int = 1, groups: int = 1) -> nn.Module:
    """A convolution without padding."""
    made: nn.Module = CONVOLUTIONS[axes - 1](inputs, outputs, size, groups=groups)
    return made


class FactorisedConvolution(nn.Module):
    """Kernel 1, in two grouped steps with the channels dealt anew between them, so that each reaches every output.

    ``inputs · outputs`` weights become about ``outputs · (inputs / g1 + inputs / g2)`` with g1·g2 = inputs, the split
    that costs least (LiVeAction's "FFT-like" layer; Dao et al., Monarch, 2022, section 3).

    Args:
        axes: of the data.
        inputs, outputs: channels; outputs a multiple of both group counts.
    """

    def __init__(self, axes: int, inputs: int, outputs: int) -> None:
        super().__init__()
        middle, first, second = split(inputs, outputs)
        self.first = convolution(axes, inputs, middle, groups=first)
        self.second = convolution(axes, middle, outputs, groups=second)
        self.groups = first

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs, …]`` → ``[n, outputs, …]``."""
        step = _products if self.training else _convolved
        x = step(self.first, x)
        each = x.shape[1] // self.groups
        x = x.reshape(x.shape[0], self.groups, each, *x.shape[2:]).transpose(1, 2)
        return step(self.second, x.reshape(x.shape[0], -1, *x.shape[3:]))


def _convolved(layer: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = layer(x)
    return found


def _products(layer: nn.Module, x: Tensor) -> Tensor:
    """What a grouped convolution of size 1 gives, as products of matrices: twice as fast with its gradients."""
    assert isinstance(layer, CONVOLUTIONS)
    n, groups, outputs = len(x), layer.groups, layer.out_channels
    weight = layer.weight.reshape(groups, outputs // groups, -1)
    y = torch.matmul(weight, x.reshape(n, groups, weight.shape[2], -1)).reshape(n, outputs, -1)
    assert layer.bias is not None
    return (y + layer.bias[:, None]).reshape(n, outputs, *x.shape[2:])


def split(inputs: int, outputs: int) -> tuple[int, int, int]:
    """Channels between the two steps, and the groups of each, for the fewest multiplications.

    The first step's groups times the second's are the middle's channels, so that each input reaches each output.

    Raises:
        ValueError: the numbers share too few divisors.
    """
    middle = min(inputs, outputs)
    ways = [
        (middle * (inputs // first) + outputs * first, first)
        for first in range(1, middle + 1)
        if inputs % first == 0 and middle % first == 0 and outputs % (middle // first) == 0
    ]
    if not ways:
        raise ValueError(f"{inputs} channels to {outputs} have no factorised form")
    _, first = min(ways)
    return middle, first, middle // first


class PositionNorm(nn.Module):
    """Groups of channels at one position brought to mean 0 and variance 1, then scaled and shifted by channel.

    What GroupNorm does, but over no positions: a tile's result equals the whole's.
    """

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__()
        self.groups = math.gcd(groups, channels)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channels, …]``, of the same shape."""
        parts = x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])
        parts = parts - parts.mean(2, keepdim=True)
        parts = parts * torch.rsqrt((parts * parts).mean(2, keepdim=True) + 1e-5)
        ones = (1,) * (x.dim() - 2)
        return parts.reshape(x.shape) * self.weight.reshape(-1, *ones) + self.bias.reshape(-1, *ones)
