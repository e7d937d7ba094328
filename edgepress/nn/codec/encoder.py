"""The encoders: samples to codes, cheap enough for the device that holds the sensor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.codec.companding import GaussianCompanding, LaplaceCompanding
from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.convolution import FactorisedConvolution, PositionNorm, convolution
from edgepress.nn.codec.wavelet_packet import Analysis

LATENT_UNIT = 32.0  # between latents as they are rounded and numbers near 1 inside the networks
_SCALE, _EXPONENT, _OFFSET = 12.8, 0.4, 0.1  # of LiVeAction's power law


class Encoder(nn.Module):
    """Samples in −1 … 1 with their halo → codes: ``[n, channels, …]`` → ``[n, latents, …]``, by ``factor`` smaller.

    WaLLoC: wavelet packet, one 1×1 convolution, companding. LiVeAction: beside that convolution, residual blocks on
    the bands under a power law add what is not linear. Nothing is pooled over positions and nothing is padded, so
    that a tile with its halo gives what the whole gives there.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.analysis = Analysis(config.axes, config.levels)
        self.linear = convolution(config.axes, config.bands, config.latents)
        self.residual: nn.Module | None = None
        if config.kind == "liveaction":
            self.residual = nn.Sequential(
                *[EncoderBlock(config.axes, config.bands) for _ in range(config.encoder_blocks)],
                FactorisedConvolution(config.axes, config.bands, config.latents),
            )
            last = self.residual[-1].second
            nn.init.zeros_(last.weight)  # begins as the linear one
            nn.init.zeros_(last.bias)
        companding = GaussianCompanding if config.kind == "walloc" else LaplaceCompanding
        self.companding: nn.Module = companding(config.latents, config.bits)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(
            x.device.type, enabled=False
        ):  # codes of ten bits need more than bfloat16's eight
            bands = self.analysis(x.float())
            latents = self.linear(bands)
            if self.residual is not None:
                latents = latents + self.residual(power_law(bands))
            codes: Tensor = self.companding(latents * LATENT_UNIT)
            return codes


class EncoderBlock(nn.Module):
    """Factorised convolution, norm, GELU, the same again, and a gate by position; added to what came in.

    As LiVeAction's block, with two changes: norm and gate look at one position alone.
    """

    def __init__(self, axes: int, channels: int) -> None:
        super().__init__()
        self.first = FactorisedConvolution(axes, channels, channels)
        self.first_norm = PositionNorm(channels)
        self.second = FactorisedConvolution(axes, channels, channels)
        self.second_norm = PositionNorm(channels)
        self.squeeze = FactorisedConvolution(axes, channels, channels // 4)
        self.excite = FactorisedConvolution(axes, channels // 4, channels)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, channels, …]``, of the same shape."""
        y = functional.gelu(self.first_norm(self.first(x)), approximate="tanh")
        y = self.second_norm(self.second(y))
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(y))))
        return x + y * gate


def power_law(bands: Tensor) -> Tensor:
    """``12.8·sign(x)·((|x| + 0.1)^0.4 − 0.1^0.4)``: LiVeAction's, which lifts the small bands."""
    return _SCALE * torch.sign(bands) * ((bands.abs() + _OFFSET) ** _EXPONENT - _OFFSET**_EXPONENT)
