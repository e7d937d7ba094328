"""A codec that is trained: its networks, and the numbers that streams depend on, frozen once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from edgepress.coding.description import DECODER, ENCODER, Rate
from edgepress.nn.codec.codec import Codec
from edgepress.nn.codec.decoder import step_plane
from edgepress.nn.codec.wavelet_packet import analysis_halo

_POSITIONS = 48  # bits of a number of positions beside which halos vanish

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class FrozenCodec:
    """A codec and what was frozen with it.

    Attributes:
        module: encoder and decoder, in evaluation mode.
        rates: steps, and how many integers each has.
        levels: for each rate, float32 ``[latents, values]``: what the decoder takes for an integer.
        models: for each rate, the probabilities of its integers, as :mod:`edgepress.coding` writes them.
        facts: how it was trained, JSON-ready.
    """

    module: Codec
    rates: tuple[Rate, ...]
    levels: tuple[Array, ...]
    models: tuple[bytes, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.rates) == len(self.levels) == len(self.models):
            raise ValueError(
                f"{len(self.rates)} rates, levels of {len(self.levels)} and models of {len(self.models)}"
            )

    @cached_property
    def identity(self) -> str:
        """32 hexadecimal digits that differ where a stream would mean something else: those of a SHA-256 over the
        form, the rates, the levels, the models and every weight; neither a board nor a tile changes it."""
        digest = hashlib.sha256(repr(sorted(asdict(self.module.config).items())).encode())
        for rate, levels, model in zip(self.rates, self.levels, self.models, strict=True):
            digest.update(repr((rate.step, rate.highest, rate.plane, len(model))).encode())
            digest.update(np.ascontiguousarray(levels, "<f4").tobytes() + model)
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(repr((name, tuple(tensor.shape))).encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().float().numpy(), "<f4").tobytes())
        return digest.hexdigest()[:32]

    @property
    def encoder_halo(self) -> tuple[int, int]:
        """Samples that the encoder reads before and after a tile, along each axis."""
        return analysis_halo(self.module.config.levels)

    @property
    def decoder_halo(self) -> tuple[int, int]:
        """Codes that the decoder reads before and after a tile, along each axis."""
        return (self.module.decoder.halo,) * 2

    def macs(self) -> dict[str, float]:
        """Multiply-adds of the parts ``encoder`` and ``decoder`` for each sample position, halos not counted.

        Counted on shapes alone, so large that halos vanish.
        """
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.utils.flop_counter import FlopCounterMode

        config = self.module.config
        each = 1 << _POSITIONS // config.axes
        taken = {
            ENCODER: (config.channels, each + sum(self.encoder_halo)),
            DECODER: (config.latents + 1, each // config.factor + sum(self.decoder_halo)),
        }
        found = {}
        for part, (channels, size) in taken.items():
            counter, shapes = FlopCounterMode(display=False), FakeTensorMode(allow_non_fake_inputs=True)
            with shapes, counter, torch.no_grad():
                getattr(self.module, part)(torch.empty(1, channels, *(size,) * config.axes))
            found[part] = round(counter.get_total_flops() / 2 / each**config.axes, 1)
        return found


def freeze_codec(
    module: Codec, steps: Sequence[float], models: Sequence[bytes], facts: Mapping[str, Any] | None = None
) -> FrozenCodec:
    """Freeze a trained codec at some steps.

    Args:
        module: the codec.
        steps: one a rate, in the order in which streams count them.
        models: the probabilities of each rate's integers.
        facts: how it was trained.
    """
    module = module.eval()
    rates, levels = [], []
    for step in steps:
        rates.append(_rate(module, step))
        levels.append(_levels(module, rates[-1]))
    return FrozenCodec(module, tuple(rates), tuple(levels), tuple(models), facts or {})


def _rate(module: Codec, step: float) -> Rate:
    limit: Any = module.encoder.companding.limit
    plane = float(step_plane(torch.tensor([step]), torch.zeros(1, 1))[0, 0])
    return Rate(step, int(np.floor(float(limit) / step + 0.5)), plane)


@torch.no_grad()
def _levels(module: Codec, rate: Rate) -> Array:
    integers = torch.arange(-rate.highest, rate.highest + 1, dtype=torch.float32)
    codes = (integers * torch.tensor(rate.step, dtype=torch.float32)).expand(
        1, module.config.latents, *(1,) * (module.config.axes - 1), -1
    )
    companding: Any = module.encoder.companding
    found: Array = companding.inverse(codes).reshape(module.config.latents, rate.values).numpy().copy()
    return found
