"""A small student to build: untrained, with a teacher of three layers, and a second head on the same stream."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgepress.inputs import ImageInput
from edgepress.nn.student.config import StudentConfig
from edgepress.nn.student.cut import cut
from edgepress.nn.student.decoder import decoder_for
from edgepress.nn.student.frozen import FrozenStudent, Head, ServerHalf, Teacher, untrained
from edgepress.nn.student.student_file import halved
from edgepress.recipe import Recipe
from edgepress.tensor import TensorSpec

NETS = Path(__file__)
BOARDS = "device=rpi5,server=x86-64-v3"
SIZE = 64
LABELS = ("ant", "bee", "cow", "dog", "eel", "fox", "gnu")
CONFIG = StudentConfig(picture=(3, SIZE, SIZE), features=(8, 8, 8), latents=4, hidden=8, width=8, blocks=1)
INPUT = TensorSpec("image", (1, 3, SIZE, SIZE), "float32", (-1.0, 1.0))
PREPARE = ImageInput(mean=(127.5,), std=(127.5,))


class Classifier(nn.Module):
    """Seven classes of pictures of 64 × 64 pixels."""

    def __init__(self, classes: int = len(LABELS)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.body = nn.Conv2d(8, 12, 3, padding=1)
        self.head = nn.Linear(12, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.body(torch.relu(self.stem(image))))
        scores: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return scores


class Rest(nn.Module):
    """What follows the stem."""

    def __init__(self, whole: Classifier) -> None:
        super().__init__()
        self.body, self.head = whole.body, whole.head

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.body(torch.relu(features)))
        scores: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return scores


def teacher() -> Classifier:
    """The whole network, for the device when no server answers."""
    torch.manual_seed(3)
    return Classifier().eval()


def stranger() -> nn.Module:
    """Nobody's teacher."""
    return nn.Sequential(nn.Conv2d(3, 7, 32, 32), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def student(seed: int = 0) -> FrozenStudent:
    """Cut behind the stem; three rates."""
    rest = Rest(teacher())
    torch.manual_seed(seed)
    about = Teacher("classifier", "7" * 64, "stem", INPUT, PREPARE, "scores", LABELS)
    frozen = untrained(rest, about, CONFIG, (0.04, 0.16, 0.64))
    with torch.no_grad():
        frozen.encoder.linear.weight.mul_(10.0)  # so that integers are not all alike
    return frozen


def other() -> FrozenStudent:
    """Of the same form, with other weights."""
    return student(1)


def costly() -> FrozenStudent:
    """Its device would spend less without it."""
    return dataclasses.replace(student(), macs={"device": 296e3, "teacher": 400e6, "replaced": 100e3})


def cheap() -> FrozenStudent:
    """Its device costs nothing worth a word."""
    return dataclasses.replace(student(), macs={"device": 1e3, "teacher": 400e6, "replaced": 100e3})


def filed(digest: str) -> FrozenStudent:
    """As one that is read from a file: of half precision, cut from the whole network by its layer's name."""
    found = student()
    tail = cut(teacher(), torch.zeros(INPUT.shape), "stem", ()).tail
    first = found.heads["server"]
    half: Any = first.module
    head = Head(
        ServerHalf(half.decoder, tail).eval(), dataclasses.replace(first.teacher, digest=digest), (), CONFIG
    )
    halved(found.encoder)
    halved(half.decoder)
    return dataclasses.replace(found, heads={"server": head})


def two_heads() -> FrozenStudent:
    """A second task, two classes without names, on the same stream."""
    first = student()
    torch.manual_seed(4)
    rest = Rest(Classifier(2).eval())
    about = dataclasses.replace(first.teacher, name="second", digest="8" * 64, output="kind", labels=())
    head = Head(ServerHalf(decoder_for(CONFIG).eval(), rest).eval(), about, (), CONFIG)
    return dataclasses.replace(first, heads={**first.heads, "second": head})


def recipe(name: str, output: Path, **more: object) -> Recipe:
    """A build of one of these that takes no longer than it must."""
    given = {
        "target": BOARDS, "engines": ("ort",), "golden": 1, "samples": 6, "options": {"local": "none"},
        "method": "entropic-student",
    } | more  # fmt: skip
    return Recipe(model=f"{NETS}:{name}", output=str(output), **given)  # type: ignore[arg-type]
