"""An entropic student: an encoder for the device, a prior, and a decoder that stands for the teacher's first layers.

After Matsubara, Yang, Levorato and Mandt, "Supervised Compression for Resource-Constrained Edge Computing Systems"
(WACV 2022). Unlike there, one student serves several rates: each has a step for every latent, learned with the rest.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.decoder import decoder_for
from edgepress.nn.student.encoder import Encoder
from edgepress.nn.student.prior import FactorisedPrior

LIMIT = 1023
"""The greatest magnitude of an integer that is sent."""
_COARSEST, _FINEST = 12.0, 3.0  # steps at first


class Student(nn.Module):
    """Encoder, steps, prior and decoder; rates count from the coarsest."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = decoder_for(config)
        self.prior = FactorisedPrior(config.latents)
        steps = torch.linspace(math.log(_COARSEST), math.log(_FINEST), config.rates)
        self.log_steps = nn.Parameter(steps[:, None].repeat(1, config.latents))

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

    def taken(self, latents: Tensor, rate: Tensor) -> Tensor:
        """What the server takes: latents that came through a stream, and the rate's plane behind them."""
        plane = self.planes()[rate][:, None, None, None].expand(-1, 1, *latents.shape[2:])
        return torch.cat([latents, plane.to(latents.dtype)], 1)

    def planes(self) -> Tensor:
        """What tells the decoder of a rate: a quarter of the mean log2 of its steps, ``[rates]``."""
        return self.log_steps.detach().mean(1) / (4 * math.log(2))
