"""A codec: encoder, rounding by a step, decoder; and how the two are trained as one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.decoder import Decoder, cropped, step_plane
from edgepress.nn.codec.encoder import Encoder
from edgepress.nn.codec.wavelet_packet import analysis_halo, synthesis_halo


class Codec(nn.Module):
    """Encoder and decoder of a learned codec.

    Samples are in −1 … 1. Codes divided by a step and rounded are what a stream holds; the larger the step, the
    fewer bits.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def codes(self, samples: Tensor) -> Tensor:
        """The codes of whole ``[n, channels, *extents]``, extents multiples of the factor: ``[n, latents, …]``."""
        found: Tensor = self.encoder(mirrored(samples, analysis_halo(self.config.levels)))
        return found

    def symbols(self, codes: Tensor, step: Tensor) -> Tensor:
        """What a stream holds: the nearest whole numbers of steps; a step for each of ``n``."""
        return torch.round(codes / _along(step, codes))

    def restored(self, symbols: Tensor, step: Tensor) -> Tensor:
        """Samples of the symbols of a whole, with the edges as the runtime makes them."""
        latents = self.encoder.companding.inverse(symbols * _along(step, symbols))
        for axis in range(latents.dim() - 2):
            latents = extended(latents, axis + 2, self.decoder.halo)
        samples: Tensor = self.decoder(torch.cat([latents, step_plane(step, latents)], 1))
        return samples

    def forward(self, samples: Tensor, step: Tensor, edges: bool = False) -> tuple[Tensor, Tensor]:
        """Samples after a lossy passage that has gradients, and the codes.

        Rounding is replaced by noise of a step's width (Ballé et al., ICLR 2017, section 3).

        Args:
            edges: the edges are nearly those of :meth:`restored`, for more work; otherwise they do not count.
        """
        codes = self.codes(samples)
        noisy = codes + (torch.rand_like(codes) - 0.5) * _along(step, codes)
        latents = self.encoder.companding.inverse(noisy)
        halo = synthesis_halo(self.config.levels) if edges else 0
        for axis in range(2, latents.dim()):
            latents = extended(latents, axis, halo)
        restored = self.decoder(torch.cat([latents, step_plane(step, latents)], 1), padded=True)
        return cropped(restored, halo * self.config.factor), codes


def mirrored(samples: Tensor, halo: tuple[int, int]) -> Tensor:
    """Samples with a halo that repeats them backwards, without the outermost again; as often as need be."""
    for axis in range(2, samples.dim()):
        size, period = samples.shape[axis], max(1, 2 * (samples.shape[axis] - 1))
        places = torch.arange(-halo[0], size + halo[1], device=samples.device) % period
        samples = samples.index_select(axis, torch.minimum(places, period - places).clamp(max=size - 1))
    return samples


def extended(latents: Tensor, axis: int, halo: int) -> Tensor:
    """Latents with a halo along one axis: backwards without the first again, and backwards with the last again.

    What a mirrored picture's lowest band is there.
    """
    size = latents.shape[axis]
    places = torch.arange(-halo, size + halo, device=latents.device)
    # Whole at the front and half at the back: the period is 2·size − 1.
    places = places % (2 * size - 1)
    return latents.index_select(axis, torch.where(places < size, places, 2 * size - 1 - places))


def filled_up(samples: Tensor, factor: int) -> Tensor:
    """Samples whose extents are brought up to multiples of the factor by repeating the last."""
    pads = [pad for size in reversed(samples.shape[2:]) for pad in (0, -size % factor)]
    return functional.pad(samples, pads, "replicate") if any(pads) else samples


def _along(step: Tensor, like: Tensor) -> Tensor:
    return step.reshape(-1, *(1,) * (like.dim() - 1))
