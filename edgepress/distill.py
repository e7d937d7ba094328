"""Distillation: how far a student's outputs lie from its teacher's."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def score_divergence(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """Kullback-Leibler divergence of class scores softened by a temperature, times its square.

    After Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 2: the square
    keeps the gradients' size when the temperature changes.

    Args:
        student, teacher: ``[..., classes]``, before the softmax.
    """
    flat = student.reshape(-1, student.shape[-1])
    wanted = functional.log_softmax(teacher.reshape(flat.shape) / temperature, -1)
    given = functional.log_softmax(flat / temperature, -1)
    return temperature**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)


def relative_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference over the teacher's mean square: 0 where they agree, about 1 where nothing was learned."""
    wanted = teacher.float()
    return functional.mse_loss(student.float(), wanted) / wanted.square().mean().clamp(min=1e-12)
