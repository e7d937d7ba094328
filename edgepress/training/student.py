"""How a student learns from its teacher: the same maps for few bits first; then the same answer from what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.student.cut import Cut
from edgepress.nn.student.frozen import ServerHalf
from edgepress.nn.student.student import Student
from edgepress.training.examples import Batch, Examples


@dataclass(frozen=True)
class Lesson:
    """What a student is to learn.

    Attributes:
        teacher: the teacher, cut where the student's decoder takes over; its weights are left alone.
        betas: the price of a bit a pixel at each rate, in mean relative errors of the maps; from dear to cheap.
        answers: what counts the divergence of the teacher's answer beside its maps, from 0.
        scores: whether the answer is class scores; otherwise its relative error counts.
    """

    teacher: Cut
    betas: tuple[float, ...]
    answers: float = 0.5
    scores: bool = True


@dataclass(frozen=True)
class Passage:
    """What became of some examples at a rate: bytes of one by each channel's entropy, how far the answers diverge, and
    the share of first classes that are the teacher's."""

    bytes: float
    divergence: float
    agreement: float


def match_maps(student: nn.Module, batch: Batch, lesson: Lesson) -> Tensor:
    """The first stage's loss, of a batch of the teacher's inputs, each at a rate drawn at random.

    The mean relative error of the maps behind the cut, and of the decoder's own where it gives one; ``β`` times the
    bits a pixel that the prior expects; and ``answers`` times the divergence of the answers. (The paper sums squared
    errors and leaves the answer to the second stage: errors relative to a map's energy need no weights by layer.)
    """
    assert isinstance(student, Student)
    x = batch[0]
    rate = torch.randint(len(lesson.betas), (len(x),), device=x.device)
    with torch.no_grad():
        wanted = lesson.teacher.head(x)
        answer, *maps = lesson.teacher.tail(wanted)
    latents = student.encoder(x)
    noisy = student.noisy(latents, rate)
    with torch.autocast(x.device.type, enabled=False):
        bits = student.prior.bits(noisy, student.steps(rate)).flatten(1).sum(1) / x[0, 0].numel()
    given = student.decoder(student.taken(noisy, rate))
    found, *others = lesson.teacher.tail(given)
    errors = [_error(one, other) for one, other in zip(others, maps, strict=True)]
    if lesson.teacher.layer:
        errors.append(_error(given, wanted))
    prices = torch.tensor(lesson.betas, device=x.device)[rate]
    each = (
        torch.stack(errors).mean(0)
        + prices * bits
        + lesson.answers * divergence(found, answer, lesson.scores)
    )
    return each.mean()


def match_answers(half: nn.Module, batch: Batch, student: Student, lesson: Lesson) -> Tensor:
    """The second stage's loss: how far the server's answers to what is really sent lie from the teacher's.

    Knowledge distillation at a temperature of 1, as the paper has it, without labels.
    """
    assert isinstance(half, ServerHalf)
    taken, _, answer, _ = _really_sent(batch[0], student, lesson)
    return divergence(half(taken), answer, lesson.scores).mean()


def match_all(decoder: nn.Module, batch: Batch, student: Student, lesson: Lesson) -> Tensor:
    """The loss of a further head on a stream that is there: its teacher's maps, and ``answers`` times its answers."""
    taken, wanted, answer, maps = _really_sent(batch[0], student, lesson)
    given = decoder(taken)
    found, *others = lesson.teacher.tail(given)
    errors = [_error(one, other) for one, other in zip(others, maps, strict=True)]
    if lesson.teacher.layer or not errors:
        errors.append(_error(given, wanted))
    return (torch.stack(errors).mean(0) + lesson.answers * divergence(found, answer, lesson.scores)).mean()


@torch.no_grad()
def _really_sent(x: Tensor, student: Student, lesson: Lesson) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """What the server takes of inputs, each at a rate drawn at random; and the teacher's features, answer and maps."""
    rate = torch.randint(len(lesson.betas), (len(x),), device=x.device)
    wanted = lesson.teacher.head(x)
    answer, *maps = lesson.teacher.tail(wanted)
    sent = student.symbols(student.encoder(x), rate)
    return student.taken(student.restored(sent, rate), rate), wanted, answer, maps


def divergence(given: Tensor, wanted: Tensor, scores: bool) -> Tensor:
    """How far answers lie from the teacher's, one number each: Kullback-Leibler in nats, or the relative error."""
    if not scores:
        return _error(given, wanted)
    of, towards = (functional.log_softmax(each.float(), -1) for each in (given, wanted))
    return (
        functional.kl_div(of, towards, reduction="none", log_target=True).sum(-1).reshape(len(of), -1).mean(1)
    )


@torch.no_grad()
def passages(
    student: Student, half: nn.Module, lesson: Lesson, examples: Examples, size: int = 16
) -> list[Passage]:
    """What becomes of examples at each rate, with true rounding; bytes by each channel's entropy."""
    found = []
    for number in range(len(lesson.betas)):
        sent: list[Tensor] = []
        apart, agreed = 0.0, 0
        for (x,) in examples.in_order(size):
            rate = torch.full((len(x),), number)
            answer = lesson.teacher.tail(lesson.teacher.head(x))[0]
            sent.append(student.symbols(student.encoder(x), rate))
            given = half(student.taken(student.restored(sent[-1], rate), rate))
            apart += float(divergence(given, answer, lesson.scores).sum())
            agreed += int((given.argmax(-1) == answer.argmax(-1)).sum()) if lesson.scores else 0
        values = torch.cat(sent).movedim(1, 0).flatten(1)
        bits = sum(_entropy(channel) for channel in values) * values.shape[1] / examples.count
        found.append(Passage(bits / 8, apart / examples.count, agreed / examples.count))
    return found


def score(passed: Sequence[Passage], lesson: Lesson, pixels: int) -> float:
    """Minus what answers and bytes cost, on average over the rates."""
    each = [
        lesson.answers * one.divergence + beta * one.bytes * 8 / pixels
        for one, beta in zip(passed, lesson.betas, strict=True)
    ]
    return -sum(each) / len(each)


def _error(given: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference over the mean square, one number an example."""
    target = wanted.float()
    return (given.float() - target).square().flatten(1).mean(1) / target.square().flatten(1).mean(1).clamp(
        min=1e-12
    )


def _entropy(values: Tensor) -> float:
    _, counts = torch.unique(values, return_counts=True)
    shares = counts.double() / counts.sum()
    return float(-(shares * shares.log2()).sum())
