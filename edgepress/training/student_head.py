"""A second task on the same stream: another network's rest behind a decoder of its own, the device left as it is."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgepress.coding.split import DEVICE, LOCAL, SERVER
from edgepress.errors import UsageError
from edgepress.inputs import ImageInput
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.cut import cut
from edgepress.nn.student.decoder import PictureDecoder, decoder_for
from edgepress.nn.student.frozen import FrozenStudent, Head, ServerHalf
from edgepress.nn.student.student import Student
from edgepress.nn.student.student_file import FindTeacher, halved, read_student_file, write_student
from edgepress.progress import Progress, silent
from edgepress.source import Source
from edgepress.training.codec_run import records
from edgepress.training.plan import Plan
from edgepress.training.student import Lesson, passages
from edgepress.training.student_pictures import find_pictures, picture_sets
from edgepress.training.student_recipe import counted, form_for, frozen_cut, gives_scores, moved, teacher_of
from edgepress.training.student_run import learn_head

PLAN = Plan(steps=1000, batch=16, rate=5e-4, warmup=0.03, precision="bfloat16", every=100)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class HeadRecipe:
    """A further head's training.

    Attributes:
        student: the file that it is added to.
        name: of its part.
        teacher, layer, match, answers, keep: as in :class:`edgepress.training.student_recipe.StudentRecipe`.
        form: of its decoder: ``width`` and ``blocks``; the student's by default.
        plan: how long and how fast.
    """

    student: Path
    name: str
    teacher: Source
    layer: str = ""
    match: tuple[str, ...] | None = None
    form: dict[str, int] = dataclasses.field(default_factory=dict)
    answers: float = 0.5
    plan: Plan = PLAN
    keep: int | Path = 64

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in (DEVICE, LOCAL):
            raise UsageError(f"a head cannot be called {self.name!r}; give small letters, figures and dashes")


def train_head(
    recipe: HeadRecipe,
    data: Sequence[Path],
    output: Path,
    folder: Path,
    *,
    command: str = "",
    device: str = "cpu",
    find_teacher: FindTeacher | None = None,
    progress: Progress = silent,
) -> FrozenStudent:
    """Train a further head and write the student with it; streams stay as they were.

    Args:
        find_teacher: finds the teachers of the heads that are there (see :func:`read_student_file`).

    Raises:
        DataError, SourceError, StorageError, UsageError: as for training a student; or there is such a head, or its
            teacher takes pictures of another size.
    """
    student = read_student_file(recipe.student, find_teacher)
    if recipe.name in student.heads:
        raise UsageError(f"{recipe.student.name} has a head {recipe.name} already; give another --name")
    about, network = teacher_of(recipe.teacher, recipe.layer)
    first = student.teacher
    if about.input.shape != first.input.shape:
        raise UsageError(
            f"{recipe.teacher.name} takes {about.input.shape}, and the device's input is {first.input.shape}; a second "
            "head needs a teacher of the same input"
        )
    example = torch.zeros(about.input.shape)
    whole = frozen_cut(cut(network, example, recipe.layer, recipe.match))
    config = form_for(about, whole, {**_form(student.config), **recipe.form})
    torch.manual_seed(recipe.plan.seed)
    decoder = _decoder(student, config)
    seen = moved(
        dataclasses.replace(whole, head=nn.Sequential(_Turned(student.config, config), whole.head)), device
    )
    betas = tuple(rate.beta or 0.0 for rate in student.rates)
    lesson = Lesson(seen, betas, recipe.answers, bool(about.labels) or gives_scores(whole, example))
    assert isinstance(first.prepare, ImageInput)
    pictures = find_pictures(data, first.prepare, first.input, recipe.keep)
    sets, sender = picture_sets(pictures), _sender(student)
    history = learn_head(decoder, sender, sets, lesson, recipe.plan, folder, progress, device)
    halved(decoder.to("cpu").float())
    shipped = ServerHalf(decoder, cut(network, example, recipe.layer, ()).tail).eval()
    kept = pictures.prepared(pictures.apart or pictures.trained)
    apart = dataclasses.replace(sets.held_out, count=len(kept), take=lambda at: (kept[at],))
    lesson = dataclasses.replace(lesson, teacher=moved(seen, "cpu"))
    passed = passages(sender.to("cpu"), shipped, lesson, apart)
    facts = {
        "command": command,
        "data": pictures.material.origin,
        "kept_apart": pictures.names(pictures.apart),
        "plan": dataclasses.asdict(recipe.plan),
        "history": records(history),
        "rates": [dataclasses.asdict(one) for one in passed],
    }
    taken = torch.zeros(1, config.latents + 1, *config.map)
    grown = dataclasses.replace(
        student,
        heads={**student.heads, recipe.name: Head(shipped, about, (), config)},
        macs={**student.macs, recipe.name: counted(shipped, taken)},
        facts={**student.facts, f"head {recipe.name}": facts},
    )
    write_student(output, grown)
    return grown


def _form(config: StudentConfig) -> dict[str, Any]:
    """What a head has in common with its student: all but what its own teacher decides."""
    decided = ("picture", "features", "scale", "shift")
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in decided}


def _decoder(student: FrozenStudent, config: StudentConfig) -> nn.Module:
    """A fresh decoder; one that decodes to pictures begins as the first head's, where that does too."""
    decoder = decoder_for(config)
    half: Any = student.heads[SERVER].module
    if isinstance(decoder, PictureDecoder) and isinstance(half.decoder, PictureDecoder):
        own, theirs = decoder.inner.state_dict(), half.decoder.inner.state_dict()
        if {name: value.shape for name, value in own.items()} == {n: v.shape for n, v in theirs.items()}:
            decoder.inner.load_state_dict(theirs)
    return decoder


def _sender(student: FrozenStudent) -> Student:
    """What sends: the student's encoder and steps, in the form that training knows."""
    whole = Student(student.config)
    whole.encoder.load_state_dict(student.encoder.state_dict())
    with torch.no_grad():
        whole.log_steps.copy_(torch.from_numpy(student.steps).log())
    return whole.eval()


class _Turned(nn.Module):
    """The device's input as another teacher takes the same picture."""

    def __init__(self, given: StudentConfig, wanted: StudentConfig) -> None:
        super().__init__()
        scale, shift = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (given.scale, given.shift))
        to, by = (torch.tensor(each).reshape(1, -1, 1, 1) for each in (wanted.scale, wanted.shift))
        self.register_buffer("times", scale / to)
        self.register_buffer("more", (shift - by) / to)

    def forward(self, x: Tensor) -> Tensor:
        times, more = self.get_buffer("times"), self.get_buffer("more")
        return x * times + more
