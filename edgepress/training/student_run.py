"""The two stages of a student's training: maps for few bits, then answers from what is really sent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgepress.nn.student.frozen import ServerHalf
from edgepress.nn.student.student import Student
from edgepress.progress import Progress, silent
from edgepress.training import student as training
from edgepress.training.examples import Batch
from edgepress.training.loop import History, fit
from edgepress.training.plan import Plan
from edgepress.training.sets import Sets
from edgepress.training.student import Lesson, Passage

Tuned = Literal["decoder", "norms", "all"]
"""What the second stage trains: the student's decoder alone, with it the teacher's norms and biases, or all."""
_FASTER = 10.0  # the prior and the steps, of which each sees every value


@dataclass(frozen=True)
class Stages:
    """How a student went through its two stages; the second is None where it was left out."""

    maps: History
    answers: History | None


def learn_maps(
    student: Student, sets: Sets, lesson: Lesson, plan: Plan, folder: Path, progress: Progress = silent,
    device: str = "cpu",
) -> History:  # fmt: skip
    """The first stage: the whole student, in place. A run found in the folder goes on where it was."""
    half = ServerHalf(student.decoder, lesson.teacher.tail)
    folder.mkdir(parents=True, exist_ok=True)

    def score(module: nn.Module) -> float:
        return _scored(student, half, lesson, sets, folder)

    return fit(
        _last(student), sets.train, lambda module, batch: training.match_maps(module, batch, lesson), plan, score=score,
        folder=folder, progress=progress, device=device,
        faster=lambda name: _FASTER if name.startswith(("prior.", "log_steps")) else 1.0,
    )  # fmt: skip


def learn_answers(
    student: Student, sets: Sets, lesson: Lesson, plan: Plan, folder: Path, tuned: Tuned, progress: Progress = silent,
    device: str = "cpu",
) -> tuple[ServerHalf, History | None]:  # fmt: skip
    """The second stage: the server's half alone, on what the device really sends.

    Returns:
        The half, in evaluation mode, and how it went; None where the plan has no steps.
    """
    half = ServerHalf(student.decoder, copy.deepcopy(lesson.teacher.tail))
    for name, parameter in half.named_parameters():
        is_own = name.startswith("decoder.")
        parameter.requires_grad_(is_own or tuned == "all" or (tuned == "norms" and parameter.dim() == 1))
    folder.mkdir(parents=True, exist_ok=True)
    student.requires_grad_(False)
    student.decoder.requires_grad_(True)

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        return training.match_answers(module, batch, student, lesson)

    history = fit(
        _last(half), sets.train, loss, plan, score=lambda module: _scored(student, module, lesson, sets, folder),
        folder=folder, progress=progress, device=device,
    )  # fmt: skip
    return half.eval(), history


def learn_head(
    decoder: nn.Module, student: Student, sets: Sets, lesson: Lesson, plan: Plan, folder: Path,
    progress: Progress = silent, device: str = "cpu",
) -> History:  # fmt: skip
    """A further head's decoder, in place, on the stream of a student that is trained."""
    folder.mkdir(parents=True, exist_ok=True)
    student.to(device).requires_grad_(False).eval()
    half = ServerHalf(decoder, lesson.teacher.tail)
    return fit(
        _last(decoder), sets.train, lambda module, batch: training.match_all(module, batch, student, lesson), plan,
        score=lambda module: _scored(student, half, lesson, sets, folder), folder=folder, progress=progress,
        device=device,
    )  # fmt: skip


def changed_names(half: ServerHalf, tuned: Tuned) -> tuple[str, ...]:
    """The tensors of the teacher's rest that the second stage changed."""
    if tuned == "decoder":
        return ()
    return tuple(name for name, value in half.rest.named_parameters() if tuned == "all" or value.dim() == 1)


def told(passed: Sequence[Passage]) -> str:
    """Passages in words."""
    return ", ".join(f"{one.bytes:.0f} bytes {one.agreement:.1%} {one.divergence:.3f} nats" for one in passed)


def _scored(student: Student, half: nn.Module, lesson: Lesson, sets: Sets, folder: Path) -> float:
    passed = training.passages(student, half, lesson, sets.held_out)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"{told(passed)}\n")
    return training.score(passed, lesson, student.config.picture[1] * student.config.picture[2])


def _last(module: Any) -> Any:
    """With maps in the order that convolutions like best."""
    return module.to(memory_format=torch.channels_last)
