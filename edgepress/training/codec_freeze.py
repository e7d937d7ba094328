"""From a trained codec to one that ships: the steps of its rates, and the integers' probabilities at each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
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

_MOST_POSITIONS = 24_000_000  # samples of the material that probabilities are taken from
_NEAR = 0.03  # of the bits asked for
_TRIES = 4
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

    Steps stay within those it was trained for, so that the finest rate may have fewer bits than asked.

    Args:
        codec: trained; its weights are rounded to half precision here.
        material: probabilities follow from what it holds.
        sets: PSNR is told of those kept apart.
        wanted: bits a sample position.
        facts: how it was trained.
    """
    codec = halved(codec).eval()
    codes, positions = _codes(codec, material, progress)
    steps: list[float] = []
    models: list[bytes] = []
    bits: list[float] = []
    for number, target in enumerate(sorted(wanted)):
        step, coding, found = _fitted(codes, positions, target, balance)
        progress(number + 1, len(wanted), f"{found:.3f} bits a position at the step {step:.2f}")
        if steps and step >= steps[-1] * 0.98:
            continue  # finer than trained for: it would be the rate before again
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


def _codes(codec: Codec, material: Material, progress: Progress) -> tuple[list[Array], int]:
    """Codes of evenly spread files, float32 ``[latents, rows, columns]``; and their sample positions."""
    found: list[Array] = []
    positions = 0
    for number, samples in enumerate(_spread(material)):
        with torch.no_grad():
            whole = filled_up(scaled(samples)[None], codec.config.factor)
            codes = codec.codes(whole)[0].numpy()
        found.append(codes.reshape(len(codes), -1, codes.shape[-1]))
        positions += samples[0].numel()
        progress(number + 1, len(material), "codes")
        if positions > _MOST_POSITIONS:
            break
    return found, positions


def _spread(material: Material) -> Iterator[torch.Tensor]:
    order = torch.randperm(len(material), generator=torch.Generator().manual_seed(0))
    for index in order.tolist():
        yield material[index]


def _fitted(
    codes: Sequence[Array], positions: int, target: float, balance: Balance
) -> tuple[float, Coding, float]:
    """The step that comes nearest to so many bits a position, its model, and its bits."""
    low, high = balance.finest, balance.coarsest
    step = (low * high) ** 0.5
    best: tuple[float, Coding, float] | None = None
    for _ in range(_TRIES):
        fitted = fit([np.rint(each / np.float32(step)).astype(np.int16) for each in codes])
        bits = fitted.bits / positions
        if best is None or abs(bits - target) < abs(best[2] - target):
            best = (step, fitted.coding, bits)
        if abs(bits - target) <= _NEAR * target:
            break
        # Above about two bits a symbol a doubled step saves one bit of each.
        share = sum(each.size for each in codes) / positions
        after = float(np.clip(step * 2 ** ((bits - target) / share), low, high))
        if after == step:
            break
        step = after
    assert best is not None
    return best
