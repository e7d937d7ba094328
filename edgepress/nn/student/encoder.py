"""The device's half: a picture to latents, for less than the teacher's first layers cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.nn.codec.wavelet_packet import Analysis, analysis_halo
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.gdn import DivisiveNorm


class Encoder(nn.Module):
    """A picture → latents: ``[n, channels, rows, columns]`` → ``[n, latents, rows / 2^levels, columns / 2^levels]``.

    A wavelet packet, then a linear path as WaLLoC has it; beside that a narrow nonlinear one, which begins at zero.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(config.scale).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(config.shift).reshape(1, -1, 1, 1), persistent=False)
        before, after = analysis_halo(config.levels)
        self.halo = (before, after, before, after)
        self.analysis = Analysis(2, config.levels)
        self.linear = nn.Conv2d(config.bands, config.latents, 1)
        self.beside = BesidePath(config) if config.hidden else None

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(
            x.device.type, enabled=False
        ):  # what is rounded needs more than bfloat16's eight bits
            scaled = x.float() * self.scale + self.shift
            bands = self.analysis(functional.pad(scaled, self.halo))
            latents: Tensor = self.linear(bands)
            if self.beside is not None:
                latents = latents + self.beside(bands)
            return latents * LATENT_UNIT


class BesidePath(nn.Module):
    """Bands → latents: a convolution of 1, a depthwise one of 3, one of 1; normalised between."""

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.first = nn.Conv2d(config.bands, hidden, 1)
        self.first_norm = DivisiveNorm(hidden) if config.norm == "gdn" else nn.ReLU()
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.second_norm = DivisiveNorm(hidden) if config.norm == "gdn" else nn.ReLU()
        self.last = nn.Conv2d(hidden, config.latents, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, bands: Tensor) -> Tensor:
        """``[n, bands, rows, columns]`` → ``[n, latents, rows, columns]``."""
        latents: Tensor = self.last(self.second_norm(self.depthwise(self.first_norm(self.first(bands)))))
        return latents
