"""Companding: latents of any size to codes of a bounded range, so that rounding is coarser where latents are rarer.

WaLLoC: by the normal distribution's cumulative function; LiVeAction: by the Laplace distribution's, of a width that is
learned for each channel. The range is ``bits`` wide.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_LEAST = 1e-4  # of the cumulative probability that is inverted, as WaLLoC has it
_WIDTH = 1.85  # standard deviations that a code's range is wide, to each side


class GaussianCompanding(nn.Module):
    """``codes = 2·L·(Φ(x / s) − ½)``, L = 2^(bits−1) − 0.501, s = (2^(bits−1) − 1) / 1.85 (WaLLoC, public code)."""

    def __init__(self, latents: int, bits: int) -> None:
        super().__init__()
        self.limit = 2.0 ** (bits - 1) - 0.501
        self.width = (2.0 ** (bits - 1) - 1) / _WIDTH

    def forward(self, x: Tensor) -> Tensor:
        """Latents → codes, of the same shape."""
        return self.limit * torch.erf(x * (1 / (self.width * math.sqrt(2))))

    def inverse(self, codes: Tensor) -> Tensor:
        """Codes → latents; codes beyond the range count as its ends."""
        share = (codes / (2 * self.limit) + 0.5).clamp(_LEAST, 1 - _LEAST)
        return self.width * math.sqrt(2) * torch.erfinv(2 * share - 1)


class LaplaceCompanding(nn.Module):
    """``codes = L·sign(x)·(1 − exp(−|x| / s))``, L = 2^(bits−1) − 1, a width s for each channel (LiVeAction)."""

    def __init__(self, latents: int, bits: int) -> None:
        super().__init__()
        self.limit = 2.0 ** (bits - 1) - 1
        start = 42.0 / 127.0 * self.limit
        self.log_width = nn.Parameter(torch.full((latents,), math.log(start)))

    def forward(self, x: Tensor) -> Tensor:
        """Latents → codes, of the same shape."""
        return self.limit * torch.sign(x) * (1 - torch.exp(-x.abs() / self._width(x)))

    def inverse(self, codes: Tensor) -> Tensor:
        """Codes → latents; codes beyond the range count as its ends."""
        share = (codes.abs() / self.limit).clamp(max=1 - 2 * _LEAST)
        return -self._width(codes) * torch.sign(codes) * torch.log1p(-share)

    def _width(self, x: Tensor) -> Tensor:
        return self.log_width.exp().reshape(-1, *(1,) * (x.dim() - 2))
