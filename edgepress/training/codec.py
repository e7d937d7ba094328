"""How a codec is trained: one number that weighs error against bits, over all the rates it is to serve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepress.nn.codec import Codec
from edgepress.nn.codec.decoder import cropped
from edgepress.training.examples import Batch, Examples
from edgepress.training.material import scaled

_MARGIN = 2  # positions of the decoder at a window's edges that do not count: their surroundings are made up
_EDGES = 0.25  # of the batches whose edges count, as those of a whole picture
_PEAK = 4.0  # (−1 … 1)², against which PSNR is


@dataclass(frozen=True)
class Balance:
    """What is made small: log10 of the squared error, and ``price`` times the bits a symbol.

    Attributes:
        price: what a bit a symbol costs, in tenfold errors (LiVeAction's λ).
        finest, coarsest: between them steps are drawn, evenly in their logarithm.
    """

    price: float = 0.08
    finest: float = 1.5
    coarsest: float = 24.0


@dataclass(frozen=True)
class Passage:
    """What a codec did to some samples: mean PSNR in dB, and bits for each sample position (bits per pixel)."""

    step: float
    psnr: float
    bits: float


def loss(module: nn.Module, batch: Batch, balance: Balance) -> tuple[Tensor, Passage]:
    """Of a batch of uint8 samples, each at a step drawn at random; and what it was made of.

    The bits of a channel are taken to be ½·log2(1 + 12·variance / step²), those of a normal distribution under
    noise of a step's width.
    """
    assert isinstance(module, Codec)
    x = scaled(batch[0])
    span = math.log(balance.coarsest / balance.finest)
    step = balance.finest * torch.exp(span * torch.rand(len(x), device=x.device))
    edges = bool(torch.rand(()) < _EDGES)
    restored, codes = module(x, step, edges)
    margin = 0 if edges else _MARGIN * module.config.factor // 2**module.config.refine
    error = cropped(restored.float() - x, margin).square().flatten(1).mean(1)
    variance = codes.var(tuple(range(2, codes.dim())), unbiased=False)
    bits = (0.5 * torch.log2(1 + 12 * variance / step[:, None].square())).mean()
    psnr = 10 * torch.log10(_PEAK / error.detach()).mean()
    value = torch.log10(error + 1e-7).mean() + balance.price * bits
    return value, Passage(
        float(step.log().mean().exp()), float(psnr), float(bits.detach()) * module.config.share
    )


def passages(module: Codec, examples: Examples, steps: Sequence[float], size: int = 8) -> list[Passage]:
    """What the codec does to examples at some steps, with true rounding; bits by each channel's entropy."""
    decibels: list[list[float]] = [[] for _ in steps]
    symbols: list[list[Tensor]] = [[] for _ in steps]
    device = next(module.parameters()).device
    for batch in examples.in_order(size):
        x = scaled(batch[0].to(device))
        codes = module.codes(x)
        for number, told, sent in zip(steps, decibels, symbols, strict=True):
            step = torch.full((len(x),), number, device=device)
            rounded = module.symbols(codes, step)
            restored = module.restored(rounded, step).clamp(-1, 1)
            error = (restored - x).square().flatten(1).mean(1)
            told += (10 * torch.log10(_PEAK / error)).tolist()
            sent.append(rounded.movedim(1, 0).flatten(1))
    found = []
    for number, told, sent in zip(steps, decibels, symbols, strict=True):
        bits = sum(_entropy(channel) for channel in torch.cat(sent, 1)) / module.config.latents
        found.append(Passage(number, sum(told) / len(told), bits * module.config.share))
    return found


def score(passed: Sequence[Passage], module: Codec, balance: Balance) -> float:
    """Minus what :func:`loss` weighs, of passages with true rounding."""
    each = [
        math.log10(_PEAK) - one.psnr / 10 + balance.price * one.bits / module.config.share for one in passed
    ]
    return -sum(each) / len(each)


def _entropy(values: Tensor) -> float:
    _, counts = torch.unique(values, return_counts=True)
    shares = counts.double() / counts.sum()
    return float(-(shares * shares.log2()).sum())
