"""From a trained student to one that ships: the integers' probabilities at each rate, and what it does to what was kept
apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgepress.coding.coder import Coding, cost
from edgepress.coding.fit import fit
from edgepress.coding.frozen import write_codings
from edgepress.coding.split import SplitRate, integers
from edgepress.coding.table import Table
from edgepress.nn.student.student import LIMIT, Student
from edgepress.progress import Progress, silent
from edgepress.training.student import Lesson
from edgepress.training.student_pictures import Pictures, cut_out, normalised

_AT_ONCE = 16
_HIGHEST = 127  # of eight bits
_OVERHEAD = 50  # bytes of a stream beside its chunk's body: header, mark, checksum

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Coded:
    """A student's tables.

    Attributes:
        steps: float32 ``[rates, latents]``.
        planes: one a rate.
        codings: the models, one a rate.
    """

    steps: Array
    planes: tuple[float, ...]
    codings: tuple[Coding, ...]

    @property
    def models(self) -> tuple[bytes, ...]:
        """As :mod:`edgepress.coding` writes them."""
        return tuple(write_codings((coding,)) for coding in self.codings)


@torch.no_grad()
def fit_tables(
    student: Student, pictures: Pictures, progress: Progress = silent, plain: bool = False
) -> Coded:
    """Probabilities of what the student sends for the pictures it was trained on: their middles, and a part of each.

    Args:
        plain: eight bits for every latent and no probabilities: channel reduction with a quantised bottleneck, the
            baseline that students are held against (Matsubara et al., 2022, section 4).
    """
    generator = torch.Generator().manual_seed(0)
    size = pictures.spec.shape[2:]
    steps = student.log_steps.exp().numpy().astype(np.float32)
    if plain:
        steps = _eight_bits(student, pictures)
        table = Table(
            -_HIGHEST, 8, np.ones(2 * _HIGHEST + 2, np.uint16)
        )  # each value as likely, and an escape
        return Coded(steps, _planes(student), ((table,) * student.config.latents,))
    sent: list[list[Array]] = [[] for _ in steps]
    for first in range(0, len(pictures.trained), _AT_ONCE):
        numbers = pictures.trained[first : first + _AT_ONCE]
        parts = torch.stack([cut_out(pictures.material[at], size, generator) for at in numbers])
        for x in (pictures.prepared(numbers), normalised(parts.round(), pictures.kind)):
            latents = student.encoder(x).numpy()
            for number, step in enumerate(steps):
                sent[number] += list(_integers(latents, step))
        progress(min(first + _AT_ONCE, len(pictures.trained)), len(pictures.trained), "what is sent")
    codings: list[Coding] = []
    for number, each in enumerate(sent):
        codings.append(fit(each).coding)
        progress(number + 1, len(sent), "probabilities")
    return Coded(steps, _planes(student), tuple(codings))


@torch.no_grad()
def measured_rates(
    student: Student,
    coded: Coded,
    half: nn.Module,
    lesson: Lesson,
    pictures: Pictures,
    progress: Progress = silent,
) -> tuple[SplitRate, ...]:
    """Mean bytes of a stream and agreement with the teacher, over what was kept apart (or, where nothing was, over what
    was trained on); bytes by the tables, overhead of a stream included."""
    numbers = pictures.apart or pictures.trained
    totals: list[list[float]] = [[0.0, 0.0] for _ in coded.codings]
    for first in range(0, len(numbers), _AT_ONCE):
        x = pictures.prepared(numbers[first : first + _AT_ONCE])
        answer = lesson.teacher.tail(lesson.teacher.head(x))[0]
        latents = student.encoder(x)
        for number, (coding, step) in enumerate(zip(coded.codings, coded.steps, strict=True)):
            sent = _integers(latents.numpy(), step)
            bits = sum(cost(coding, each) for each in sent)
            rate = torch.full((len(x),), number)
            restored = torch.from_numpy(sent.astype(np.float32)) * torch.from_numpy(step)[:, None, None]
            given: Tensor = half(student.taken(restored, rate))
            agreed = (given.argmax(-1) == answer.argmax(-1)).sum() if lesson.scores else torch.zeros(())
            totals[number][0] += bits / 8 + _OVERHEAD * len(x)
            totals[number][1] += float(agreed)
        progress(min(first + _AT_ONCE, len(numbers)), len(numbers), "what was kept apart")
    return tuple(
        SplitRate(
            beta,
            plane,
            round(total / len(numbers), 1),
            round(agreed / len(numbers), 4) if lesson.scores else None,
        )
        for beta, plane, (total, agreed) in zip(lesson.betas, coded.planes, totals, strict=True)
    )


def _eight_bits(student: Student, pictures: Pictures) -> Array:
    """Steps at which the largest latent of each channel just has its place among eight bits: ``[1, latents]``."""
    most = torch.zeros(student.config.latents)
    for first in range(0, len(pictures.trained), _AT_ONCE):
        latents = student.encoder(pictures.prepared(pictures.trained[first : first + _AT_ONCE]))
        most = torch.maximum(most, latents.abs().amax((0, 2, 3)))
    found: Array = (most / _HIGHEST).clamp(min=1e-6).numpy().astype(np.float32)[None]
    return found


def _planes(student: Student) -> tuple[float, ...]:
    return tuple(float(plane) for plane in student.planes())


def _integers(latents: Array, step: Array) -> Array:
    """float32 ``[n, latents, rows, columns]`` → int16."""
    return np.stack([integers(each, step, LIMIT) for each in latents])
