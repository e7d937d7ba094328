"""Everything that a student's training is decided by; and the training as a whole, from a teacher to a file."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgepress.coding.split import DEVICE, SERVER
from edgepress.errors import SourceError, UsageError
from edgepress.inputs import ImageInput
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.cut import Cut, cut
from edgepress.nn.student.frozen import FrozenStudent, Head, ServerHalf, Teacher
from edgepress.nn.student.student import Student
from edgepress.nn.student.student_file import halved, write_student
from edgepress.progress import Progress, silent
from edgepress.source import Source
from edgepress.training.codec_run import records
from edgepress.training.plan import Plan
from edgepress.training.student import Lesson
from edgepress.training.student_begin import begin
from edgepress.training.student_freeze import fit_tables, measured_rates
from edgepress.training.student_pictures import find_pictures, picture_sets
from edgepress.training.student_run import Tuned, changed_names, learn_answers, learn_maps

BETAS = (1.5, 0.5, 0.15)
_BEGUN_ON = 32  # pictures
_PLAN = Plan(steps=2000, batch=16, rate=5e-4, warmup=0.03, precision="bfloat16", every=200)
_ANSWERING = dataclasses.replace(_PLAN, steps=500, rate=2e-4, every=100)


@dataclass(frozen=True)
class StudentRecipe:
    """A student's training.

    Attributes:
        teacher: a torch network of one picture and one output.
        layer: of the teacher, behind which the student's decoder takes over; empty for its input.
        match: layers whose maps are matched; None takes the last of each size.
        form: fields of :class:`StudentConfig` other than those that the teacher decides.
        betas: one a rate, from dear to cheap. A single 0 makes bits cost nothing and sends eight for each latent:
            channel reduction with a quantised bottleneck, a baseline.
        answers: what counts the divergence of answers beside maps in the first stage.
        maps, answering: plans of the two stages; no second one where ``answering`` is None.
        tuned: what the second stage trains.
        keep: pictures kept apart: how many, or a file of names.
        start: a codec's file, or a student's, to begin with.
    """

    teacher: Source
    layer: str = ""
    match: tuple[str, ...] | None = None
    form: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, ...] = BETAS
    answers: float = 0.5
    maps: Plan = _PLAN
    answering: Plan | None = _ANSWERING
    tuned: Tuned = "norms"
    keep: int | Path = 64
    start: Path | None = None

    def __post_init__(self) -> None:
        if (
            not self.betas
            or list(self.betas) != sorted(set(self.betas), reverse=True)
            or not self.betas[-1] >= 0
        ):
            raise UsageError(f"the prices {self.betas}; give β from dear to cheap, such as 1.5,0.5,0.15")


def train_student(
    recipe: StudentRecipe,
    data: Sequence[Path],
    output: Path,
    folder: Path,
    *,
    command: str = "",
    device: str = "cpu",
    progress: Progress = silent,
) -> FrozenStudent:
    """Train a student on folders of pictures and write its file.

    Args:
        folder: keeps checkpoints; a training found there goes on.
        command: as it was given, for the file's facts.

    Raises:
        DataError: there are too few pictures, or the loss is no number.
        SourceError: the teacher cannot be cut there, or the file to begin with is none.
        UsageError: the teacher takes something else than a picture.
        StorageError: something cannot be written.
    """
    about, network = teacher_of(recipe.teacher, recipe.layer)
    example = torch.zeros(about.input.shape)
    whole = frozen_cut(cut(network, example, recipe.layer, recipe.match))
    config = form_for(about, whole, {**recipe.form, "rates": len(recipe.betas)})
    assert isinstance(about.prepare, ImageInput)
    pictures = find_pictures(data, about.prepare, about.input, recipe.keep)
    sets = picture_sets(pictures)
    lesson = Lesson(whole, recipe.betas, recipe.answers, bool(about.labels) or gives_scores(whole, example))
    torch.manual_seed(recipe.maps.seed)
    student = Student(config)
    begin(
        student,
        pictures.prepared(pictures.trained[:: max(1, len(pictures.trained) // _BEGUN_ON)]),
        recipe.start,
    )
    lesson = dataclasses.replace(lesson, teacher=moved(whole, device))
    first = learn_maps(student, sets, lesson, recipe.maps, folder / "maps", progress, device)
    half, second = ServerHalf(student.decoder, whole.tail), None
    if recipe.answering is not None:
        half, second = learn_answers(
            student, sets, lesson, recipe.answering, folder / "answers", recipe.tuned, progress, device
        )
    whole, student, half = moved(whole, "cpu"), student.to("cpu"), half.to("cpu").float()
    lesson = dataclasses.replace(lesson, teacher=whole)
    tuned: Tuned = recipe.tuned if second is not None else "decoder"
    halved(student.encoder), halved(half.decoder)
    changed = changed_names(half, tuned)
    for name, parameter in half.rest.named_parameters():
        if name in changed:
            parameter.data = parameter.data.half().float()
    coded = fit_tables(student.eval(), pictures, progress, plain=recipe.betas == (0.0,))
    rates = measured_rates(student, coded, half.eval(), lesson, pictures, progress)
    slim = cut(network, example, recipe.layer, ()).tail
    slim.load_state_dict(half.rest.state_dict(), strict=False)
    shipped = ServerHalf(half.decoder, slim).eval()
    facts: dict[str, Any] = {
        "command": command,
        "data": pictures.material.origin,
        "data_digest": pictures.material.digest,
        "kept_apart": pictures.names(pictures.apart),
        "trained_on": pictures.names(pictures.trained),
        "betas": list(recipe.betas),
        "answers": recipe.answers,
        "matched": list(whole.watched),
        "tuned": tuned,
        "maps": {**dataclasses.asdict(recipe.maps), "history": records(first)},
        "answering": {**dataclasses.asdict(recipe.answering), "history": records(second)}
        if recipe.answering is not None and second is not None
        else None,
        "torch": torch.__version__,
    }
    if recipe.start is not None:
        facts["start"] = {
            "name": recipe.start.name,
            "sha256": hashlib.sha256(recipe.start.read_bytes()).hexdigest(),
        }
    frozen = FrozenStudent(
        config, student.encoder, {SERVER: Head(shipped, about, changed, config)}, coded.steps, rates, coded.models,
        _macs(network, whole, student, shipped, example), facts,
    )  # fmt: skip
    write_student(output, frozen)
    return frozen


def teacher_of(source: Source, layer: str) -> tuple[Teacher, nn.Module]:
    """A source as a teacher: what is recorded of it, and the network in evaluation mode.

    Raises:
        SourceError: it is no torch network.
        UsageError: it takes something else than one picture.
    """
    if source.kind != "torch" or source.parts:
        raise SourceError(
            f"{source.name} is no torch network that could teach; give file.py:callable, or a name of the zoo"
        )
    if len(source.inputs) != 1:
        raise UsageError(
            f"{source.name} takes {len(source.inputs)} inputs; a student stands for one that takes a picture"
        )
    spec = source.inputs[0]
    kind = source.prepare.get(spec.name)
    if not isinstance(kind, ImageInput):
        raise UsageError(
            f"{source.name} does not say how its input {spec.name} is made of a picture; give --image with "
            "--mean and --std, or a network of the zoo"
        )
    if kind.layout != "NCHW" or len(spec.shape) != 4 or spec.dtype != "float32" or spec.shape[1] != 3:
        raise UsageError(
            f"{source.name} takes {spec.dtype} {spec.shape}; a student needs one that takes float32 RGB pictures, "
            "1x3xHxW"
        )
    name = source.origin.get("name", source.name)
    output = source.outputs[0] if source.outputs else "output"
    return Teacher(name, source.digest, layer, spec, kind, output, source.labels), source.load()


def form_for(about: Teacher, whole: Cut, form: dict[str, Any]) -> StudentConfig:
    """The student's form for a teacher: sizes and scales are the teacher's.

    Raises:
        UsageError: a figure is out of range, or the teacher's sizes do not fit.
    """
    kind = about.prepare
    assert isinstance(kind, ImageInput)
    channels, rows, columns = about.input.shape[1:]
    mean, std = (tuple(each) * (channels if len(each) == 1 else 1) for each in (kind.mean, kind.std))
    fixed: dict[str, Any] = {
        "picture": (channels, rows, columns),
        "features": whole.features if about.layer else None,
        "scale": tuple(each / 127.5 for each in std),  # the input × std + mean are pixels of 0 … 255
        "shift": tuple(each / 127.5 - 1 for each in mean),
    }
    return StudentConfig(**{**form, **fixed})


def gives_scores(whole: Cut, example: torch.Tensor) -> bool:
    """Whether a teacher's answer looks like class scores: one row of several numbers."""
    with torch.no_grad():
        answer = whole.tail(whole.head(example))[0]
    return bool(answer.dim() == 2 and answer.shape[1] > 1)


def frozen_cut(whole: Cut) -> Cut:
    """A teacher whose weights are not trained."""
    for half in (whole.head, whole.tail):
        half.requires_grad_(False)
        half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return whole


def moved(whole: Cut, device: str) -> Cut:
    """A teacher on a device."""
    return dataclasses.replace(whole, head=whole.head.to(device), tail=whole.tail.to(device))


def _macs(
    network: nn.Module, whole: Cut, student: Student, half: ServerHalf, example: torch.Tensor
) -> dict[str, float]:
    """Multiply-adds of the device's half, the server's, the teacher, and its layers that the device is spared."""
    rows, columns = student.config.map
    taken = torch.zeros(1, student.config.latents + 1, rows, columns)
    found = {
        DEVICE: counted(student.encoder, example),
        SERVER: counted(half, taken),
        "teacher": counted(network, example),
    }
    with torch.no_grad():
        maps = whole.tail(whole.head(example))[1:]
    near = [name for name, each in zip(whole.watched, maps, strict=True) if each.shape[2:] == (rows, columns)]
    if near:
        found["replaced"] = counted(cut(network, example, near[-1], ()).head, example)
    elif whole.layer:
        found["replaced"] = counted(whole.head, example)
    return found


def counted(module: nn.Module, example: torch.Tensor) -> float:
    """Multiply-adds of a network on one input."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(example)
    return counter.get_total_flops() / 2
