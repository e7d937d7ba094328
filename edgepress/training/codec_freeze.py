"""From a trained codec to one that ships: the steps of its rates, and the integers' probabilities at each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from edgepress.coding.coder import Coding
from edgepress.coding.fit import fit
from edgepress.coding.frozen import write_codings
from edgepress.nn.codec import Codec
from edgepress.nn.codec.codec import filled_up
from edgepress.nn.codec.codec_file import halved
from edgepress.nn.codec.frozen import FrozenCodec, freeze_codec
from edgepress.progress import Progress, silent
from edgepress.training import codec as training
from edgepress.training.codec import Balance
from edgepress.training.material import Material, scaled
from edgepress.training.sets import Sets

_MOST_POSITIONS = 12_000_000  # samples of the material that probabilities are taken from
_FINER = 3.0  # than the finest step trained for: the network hardly sees such small changes any more
_NEAR = 0.02  # of the bits asked for
_TRIES = 6
Array = np.ndarray[Any, Any]


def freeze_trained(
    codec: Codec,
    material: Material,
    sets: Sets,
    wanted: Sequence[float],
    balance: Balance,
    facts: Mapping[str, Any],
    progress: Progress = silent,
) -> FrozenCodec:
    """Freeze a codec at the rates asked for, coarsest first.

    Steps stay near those it was trained for, so that the finest rate may have fewer bits than asked.

    Args:
        codec: trained; its weights are rounded to half precision here.
        material: probabilities follow from what it holds.
        sets: PSNR is told of those kept apart.
        wanted: bits a sample position.
        facts: how it was trained.
    """
    codec = halved(codec).eval()
    codes = _codes(codec, material, progress)
    steps: list[float] = []
    models: list[bytes] = []
    bits: list[float] = []
    for number, target in enumerate(sorted(wanted)):
        step, coding, found = _nearest(codes, target, balance, codec.config.share)
        progress(number + 1, len(wanted), f"{found:.3f} bits a position at the step {step:.2f}")
        if steps and step >= steps[-1] * 0.98:
            continue  # as fine as may be: it would be the rate before again
        steps.append(step)
        models.append(write_codings((coding,)))
        bits.append(found)
    with torch.no_grad():
        told = training.passages(codec, sets.held_out, steps)
    frozen = freeze_codec(codec, steps, models, facts)
    rates = tuple(
        dataclasses.replace(rate, bits=round(found, 4), psnr=round(one.psnr, 3))
        for rate, found, one in zip(frozen.rates, bits, told, strict=True)
    )
    return dataclasses.replace(frozen, rates=rates)


def _codes(codec: Codec, material: Material, progress: Progress) -> list[Array]:
    """Codes of files in an order that a seed decides, float32 ``[latents, rows, columns]``."""
    found: list[Array] = []
    positions = 0
    order = torch.randperm(len(material), generator=torch.Generator().manual_seed(0))
    for number, index in enumerate(order.tolist()):
        samples = material[index]
        with torch.no_grad():
            codes = codec.codes(filled_up(scaled(samples)[None], codec.config.factor))[0].numpy()
        found.append(codes.reshape(len(codes), -1, codes.shape[-1]))
        positions += samples[0].numel()
        progress(number + 1, len(material), "codes")
        if positions > _MOST_POSITIONS:
            break
    return found


def _nearest(
    codes: Sequence[Array], target: float, balance: Balance, share: float
) -> tuple[float, Coding, float]:
    """The step whose bits a sample position come nearest to those wanted; its model, and those bits.

    Args:
        share: integers for each sample position.
    """
    low, high = np.log2(balance.finest / _FINER), np.log2(balance.coarsest)
    place, slope = (low + high) / 2, -share  # at high rates, a doubled step saves one bit of each integer
    tried: list[tuple[float, Coding, float]] = []  # places, models, bits
    for _ in range(_TRIES):
        coding, bits = _fitted(codes, float(2**place), share)
        tried.append((place, coding, bits))
        if len(tried) > 1 and tried[-2][0] != place:
            slope = min((bits - tried[-2][2]) / (place - tried[-2][0]), -0.1 * share)
        after = float(np.clip(place + (target - bits) / slope, low, high))
        if abs(bits - target) <= _NEAR * target or after == place:
            break
        place = after
    place, coding, bits = min(tried, key=lambda one: (abs(one[2] - target), one[0]))
    return float(2**place), coding, bits


def _fitted(codes: Sequence[Array], step: float, share: float) -> tuple[Coding, float]:
    """A model of codes at a step, and its bits a sample position."""
    fitted = fit([np.rint(each / np.float32(step)).astype(np.int16) for each in codes])
    return fitted.coding, fitted.bits / fitted.values * share
