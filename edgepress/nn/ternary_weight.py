"""Weights of −1, 0 and +1 with one scale for a tensor or for each output.

After "BitNet b1.58 Reloaded" (Nielsen and Schneider-Kamp, 2024), section 3: the scale is the reciprocal of
the mean or the median of the weights' magnitudes, and codes are the scaled weights rounded and clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

_SMALLEST = 1e-5  # of the mean or median: an all-zero tensor keeps a finite scale


@dataclass(frozen=True)
class Ternary:
    """How layers quantise.

    Attributes:
        measure: what a weight's scale is taken from: the ``median`` or the ``mean`` of magnitudes.
        per_channel: one scale for each output channel, or one for the whole tensor.
        activations: ``dynamic`` takes a scale for each row (each sample, in convolutions) as it comes;
            ``static`` a range learned in training, so that requantisation can be fused; ``auto`` is
            dynamic for linear layers and static for convolutions.
        norm: layer normalisation without parameters before dynamic quantisation, as the paper has it.
    """

    measure: Literal["median", "mean"] = "median"
    per_channel: bool = False
    activations: Literal["auto", "dynamic", "static"] = "auto"
    norm: bool = True


def weight_scale(weight: Tensor, measure: str = "median", per_channel: bool = False) -> Tensor:
    """What weights are multiplied by before rounding: ``1 / max(measure(|W|), 1e-5)``.

    Args:
        weight: ``[outputs, ...]``.
        measure: ``"median"`` (of an even number of magnitudes, the middle two's mean) or ``"mean"``.

    Returns:
        ``[outputs, 1, ...]`` with ``per_channel``, else a single element of the same number of axes.
    """
    magnitudes = weight.detach().abs().reshape(len(weight) if per_channel else 1, -1)
    middle = magnitudes.mean(1) if measure == "mean" else _medians(magnitudes)
    return (1 / middle.clamp(min=_SMALLEST)).reshape(-1, *[1] * (weight.dim() - 1))


def _medians(rows: Tensor) -> Tensor:
    """Of each row ``[rows, n]``, the middle number or the mean of the middle two."""
    if rows.device.type != "cpu":
        # torch.median gives the lower of the middle two; of the negated numbers, it gives the upper.
        return (rows.median(1).values - (-rows).median(1).values) / 2
    # NumPy's selection takes a thirtieth of the time of torch's, which was a third of a training step's.
    half = rows.shape[1] // 2
    ordered = np.partition(rows.float().numpy(), half, axis=1)
    upper = ordered[:, half]
    lower = upper if rows.shape[1] % 2 else ordered[:, :half].max(1)
    return torch.from_numpy((lower + upper) / 2).to(rows.dtype)


def ternary_codes(weight: Tensor, scale: Tensor) -> Tensor:
    """``clip(round(W · scale), −1, 1)``, halves to even, in the weight's own type."""
    return (weight.detach() * scale).round().clamp(-1, 1)


def ternary_weight(weight: Tensor, how: Ternary, phase: float = 1.0) -> Tensor:
    """The weight that computes: ``codes / scale``, with gradients passed straight to ``weight``.

    Args:
        phase: λ from 0 (the float weight) to 1 (the quantised one), to phase quantisation in.
    """
    scale = weight_scale(weight, how.measure, how.per_channel)
    return weight + phase * (ternary_codes(weight, scale) / scale - weight).detach()
