"""How a codec is trained: one number that weighs error against bits, over all the rates it is to serve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgepress.nn.codec import Codec
from edgepress.nn.codec.encoder import LATENT_UNIT
from edgepress.training.examples import Batch, Examples

_MARGIN = 2  # latents at each edge of a crop that do not count: their surroundings are made up
_START = 20.0  # latent units that one band unit becomes at first
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
    restored, codes = module(x, step)
    factor, axes = module.config.factor, tuple(range(2, codes.dim()))
    error = _inside(restored.float() - x, _MARGIN * factor).square().flatten(1).mean(1)
    variance = codes.var(axes, unbiased=False)
    bits = (0.5 * torch.log2(1 + 12 * variance / step[:, None].square())).mean()
    psnr = 10 * torch.log10(_PEAK / error.detach()).mean()
    a_position = float(bits.detach()) * module.config.latents / factor**module.config.axes
    value = torch.log10(error + 1e-7).mean() + balance.price * bits
    return value, Passage(float(step.log().mean().exp()), float(psnr), a_position)


def passages(module: Codec, examples: Examples, steps: Sequence[float], size: int = 8) -> list[Passage]:
    """What the codec does to examples at some steps, with true rounding; bits by each channel's entropy."""
    found = []
    for number in steps:
        decibels: list[float] = []
        symbols: list[Tensor] = []
        for batch in examples.in_order(size):
            x = scaled(batch[0])
            step = torch.full((len(x),), number)
            sent = module.symbols(module.codes(x), step)
            restored = module.restored(sent, step).clamp(-1, 1)
            error = (restored - x).square().flatten(1).mean(1)
            decibels += (10 * torch.log10(_PEAK / error)).tolist()
            symbols.append(sent.movedim(1, 0).flatten(1))
        share = module.config.latents / module.config.factor**module.config.axes
        bits = sum(_entropy(channel) for channel in torch.cat(symbols, 1)) / module.config.latents * share
        found.append(Passage(number, sum(decibels) / len(decibels), bits))
    return found


def score(passed: Sequence[Passage], module: Codec, balance: Balance) -> float:
    """Minus what :func:`loss` weighs, of passages with true rounding."""
    share = module.config.latents / module.config.factor**module.config.axes
    each = [math.log10(_PEAK) - one.psnr / 10 + balance.price * one.bits / share for one in passed]
    return -sum(each) / len(each)


def begin(codec: Codec, samples: Tensor) -> None:
    """Let a fresh codec begin as the best linear one: the principal components of the bands of uint8 samples."""
    with torch.no_grad():
        from edgepress.nn.codec.codec import mirrored
        from edgepress.nn.codec.wavelet_packet import analysis_halo

        halo = analysis_halo(codec.config.levels)
        bands = codec.encoder.analysis(mirrored(scaled(samples), halo)).movedim(1, 0).flatten(1).double()
        mean = bands.mean(1)
        _, vectors = torch.linalg.eigh((bands - mean[:, None]) @ (bands - mean[:, None]).T / bands.shape[1])
        basis = vectors.flip(1)[:, : codec.config.latents].T
        basis = basis * torch.where(
            basis.sum(1, keepdim=True) < 0, -1.0, 1.0
        )  # signs are arbitrary otherwise
        ones = (1,) * codec.config.axes
        gain = _START / LATENT_UNIT
        into, out = codec.encoder.linear, codec.decoder.linear
        into.weight.copy_((gain * basis).reshape(*basis.shape, *ones))
        into.bias.copy_(-gain * basis @ mean)
        out.weight.copy_((basis.T / gain).reshape(*basis.T.shape, *ones))
        out.bias.copy_(mean)


def scaled(samples: Tensor) -> Tensor:
    """uint8 0 … 255 → float32 −1 … 1."""
    return samples.float() * (2 / 255) - 1


def _entropy(values: Tensor) -> float:
    _, counts = torch.unique(values, return_counts=True)
    shares = counts.double() / counts.sum()
    return float(-(shares * shares.log2()).sum())


def _inside(x: Tensor, margin: int) -> Tensor:
    for axis in range(2, x.dim()):
        x = x.narrow(axis, margin, x.shape[axis] - 2 * margin)
    return x
