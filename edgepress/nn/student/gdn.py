"""Divisive normalisation: each channel over what its neighbours among the channels are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEAST = 1e-3


class DivisiveNorm(nn.Module):
    """``y = x / (b + Σ g|x|)`` over the channels of ``[n, channels, …]``; inverse: ``y = x · (b + Σ g|x|)``.

    Generalised divisive normalisation with both exponents 1, which costs neither squares nor roots (Johnston, Eban,
    Gordon and Ballé, "Computationally efficient neural image compression", 2019, section 3.2).
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(0.1 * torch.eye(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Of the same shape."""
        weights = self.gamma.abs()[..., None, None]
        scale = functional.conv2d(x.abs(), weights, self.beta.abs() + _LEAST)
        return x * scale if self.inverse else x / scale
