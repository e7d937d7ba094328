"""The factorised prior: how likely each value of a latent is, learned beside the networks.

After Ballé, Minnen, Singh, Hwang and Johnston, "Variational image compression with a scale hyperprior" (ICLR 2018),
appendix 6.1: for each channel a cumulative distribution as a small network that can only rise.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (1, 3, 3, 1)
_SCALE = 10.0  # of the values that are likely at first
_LEAST = 1e-9


class FactorisedPrior(nn.Module):
    """Densities of ``latents`` independent channels."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        scale = _SCALE ** (1 / (len(_WIDTHS) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for number, (given, made) in enumerate(pairwise(_WIDTHS)):
            start = torch.log(torch.expm1(torch.tensor(1 / scale / made)))
            self.matrices.append(nn.Parameter(torch.full((latents, made, given), float(start))))
            self.biases.append(nn.Parameter(torch.rand(latents, made, 1) - 0.5))
            if number + 2 < len(_WIDTHS):
                self.factors.append(nn.Parameter(torch.zeros(latents, made, 1)))

    def bits(self, values: Tensor, step: Tensor) -> Tensor:
        """Bits of values ``[n, latents, …]`` in cells of a width ``[n or 1, latents]``, each by itself."""
        x = values.movedim(1, 0)
        half = (step.movedim(1, 0) / 2).reshape(len(x), -1, *(1,) * (x.dim() - 2)).expand_as(x)
        flat, half = x.flatten(1)[:, None], half.flatten(1)[:, None]
        low, high = self._logit(flat - half), self._logit(flat + half)
        # Computed in the tail that is the smaller one, where differences keep their digits.
        side = -torch.sign(low + high).detach()
        share = (torch.sigmoid(side * high) - torch.sigmoid(side * low)).abs()
        found = -torch.log2(share.clamp(min=_LEAST))
        return found.reshape(x.shape).movedim(0, 1)

    def _logit(self, x: Tensor) -> Tensor:
        """Of the cumulative distribution: ``[latents, 1, values]``, of the same shape."""
        for number, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            x = torch.baddbmm(bias, functional.softplus(matrix), x)
            if number < len(self.factors):
                x = x + torch.tanh(self.factors[number]) * torch.tanh(x)
        return x
