"""Activations in steps of eight bits: by row as they come, or within a range learned in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SMALLEST = 1e-5
_MOMENTUM = 0.02  # of a learned range, for each batch
ROW_LEVELS = 128  # the paper's; its code and ours clip 128 itself to 127


def row_scale(x: Tensor, axes: int = 1, levels: int = ROW_LEVELS) -> Tensor:
    """What activations are multiplied by: ``levels / max|x|`` over the last ``axes`` axes, kept as ones."""
    largest = x.detach().abs().amax(tuple(range(-axes, 0)), keepdim=True)
    return levels / largest.clamp(min=_SMALLEST)


def row_steps(x: Tensor, scale: Tensor) -> Tensor:
    """``clip(round(x · scale), −128, 127)``, halves to even, in the activation's own type."""
    return (x.detach() * scale).round().clamp(-128, 127)


def quantised_rows(x: Tensor, axes: int = 1, phase: float = 1.0) -> Tensor:
    """Activations rounded to their rows' steps, with gradients passed straight through."""
    scale = row_scale(x, axes)
    return x + phase * (row_steps(x, scale) / scale - x).detach()


class LearnedRange(torch.nn.Module):
    """Activations in 256 steps of one size between a lowest and a highest value seen in training.

    The range follows each training batch's extremes by a moving average and always holds zero. Values
    outside it are clipped and give no gradient.

    Attributes:
        low, high: buffers, the range; equal before the first batch.
    """

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))

    @torch.no_grad()
    def watch(self, x: Tensor) -> None:
        """Move the range towards a batch's; the first batch sets it."""
        low, high = x.amin().clamp(max=0).float(), x.amax().clamp(min=0).float()
        known = self.high > self.low
        self.low.copy_(torch.where(known, torch.lerp(self.low, low, _MOMENTUM), low))
        self.high.copy_(torch.where(known, torch.lerp(self.high, high, _MOMENTUM), high))

    def step_and_zero(self) -> tuple[Tensor, Tensor]:
        """The size of a step, and the step (0 to 255) that means zero."""
        step = ((self.high - self.low) / 255).clamp(min=_SMALLEST)
        return step, (-self.low / step).round().clamp(0, 255)

    def forward(self, x: Tensor, phase: float = 1.0) -> Tensor:
        """Any shape; the same shape, ``(clip(round(x / step) + zero, 0, 255) − zero) · step``."""
        if self.training:
            self.watch(x)
        step, zero = (float(each) for each in self.step_and_zero())
        return _Stepped.apply(x, -zero * step, (255 - zero) * step, step, phase)  # type: ignore[no-any-return, no-untyped-call]


class _Stepped(torch.autograd.Function):
    """Clipping and rounding in few passes over the activations, which take a good part of a training step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, step: float, phase: float) -> Tensor:
        held = torch.clamp(x, low, high)
        ctx.save_for_backward(held.eq(x))
        ctx.phase = phase
        held.div_(step).round_().mul_(step)
        return held if phase == 1.0 else torch.lerp(x, held, phase)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        (gradient,) = gradients
        kept = gradient * inside
        return kept if ctx.phase == 1.0 else torch.lerp(gradient, kept, ctx.phase), None, None, None, None
