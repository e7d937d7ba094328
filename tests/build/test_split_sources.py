"""Where students come from: files, the zoo, a build of the teacher; what is refused before any work."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgepress import zoo
from edgepress.build import build, plan
from edgepress.build.cache import StepCache
from edgepress.build.job import Job
from edgepress.build.listener import Silent
from edgepress.build.student import student_of
from edgepress.errors import EdgepressError, SourceError, UsageError
from edgepress.nn.student.student_file import write_student
from edgepress.recipe import InputRecipe, Recipe, read_recipe
from edgepress.source import resolve
from edgepress.targets import load_target
from tests.build import student_nets
from tests.build.student_nets import BOARDS, NETS, recipe


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"method": "int8", "options": {}}, "device half stays in float32"),
        ({"tile": 32}, "only codecs have tiles"),
        ({"labels": __file__}, "leave --labels out"),
        ({"target": "device=rpi4"}, "add server=BOARD"),
        ({"target": "device=rpi4,sever=rpi4"}, "did you mean 'server'"),
        ({"target": f"{BOARDS},local=rpi5"}, "no part 'local'"),
        ({"fallback": f"{NETS}:other"}, "no single network"),
        ({"fallback": "walloc-f8c12"}, "no single network"),
        ({"fallback": "efficientnet-lite0"}, "takes 1x3x224x224 of float32 and the student 1x3x64x64"),
        ({"fallback": "no-such"}, "there is no model 'no-such'"),
    ],
)
def test_what_does_not_fit_a_student_is_refused(
    more: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgepressError, match=message):
        build(recipe("student", tmp_path / "a.edge", **more), cache=StepCache(tmp_path / "cache"))
    assert not (tmp_path / "a.edge").exists()


def test_an_onnx_file_is_a_fallback_too(split_cache: StepCache, cnn_onnx: Path, tmp_path: Path) -> None:
    """It takes pictures of another size; and what is no student has none."""
    with pytest.raises(UsageError, match="takes 1x3x32x32 of float32 and the student 1x3x64x64"):
        build(recipe("student", tmp_path / "a.edge", fallback=str(cnn_onnx)), cache=split_cache)
    with pytest.raises(UsageError, match="leave --fallback out"):
        build(Recipe(model=str(cnn_onnx), fallback=str(cnn_onnx), output=str(tmp_path / "a.edge")))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": f"{NETS}:teacher"}, "give a folder of them with --data"),
        ({"data": "."}, "no torch network"),
        ({"model": f"{NETS}:teacher", "data": ".", "target": "device=rpi4,sever=rpi4"}, "no part 'sever'"),
        ({"model": f"{NETS}:teacher", "data": ".", "options": {"betas": [1.0]}}, "'beta'"),
    ],
)
def test_what_cannot_be_distilled_is_refused_before_hours_of_training(
    cnn_onnx: Path, tmp_path: Path, more: dict[str, object], message: str
) -> None:
    inputs = (
        {"image": InputRecipe((1, 3, 64, 64), "float32", student_nets.PREPARE)} if "model" in more else {}
    )
    given = {"model": str(cnn_onnx), "method": "entropic-student", "inputs": inputs} | more
    with pytest.raises(EdgepressError, match=message):
        build(Recipe(output=str(tmp_path / "a.edge"), **given))  # type: ignore[arg-type]


def test_a_build_of_the_teacher_trains_its_student_once(
    split_cache: StepCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training itself is told from outside what to do, and gives a file; here it is a stand-in."""
    asked = []

    def train(training: Any, data: list[Path], output: Path, folder: Path, **more: Any) -> None:
        asked.append((training.layer, training.betas, training.form, training.maps.steps, training.answering))
        (folder / "begun").write_text("a checkpoint")
        write_student(output, student_nets.filed(training.teacher.digest))

    monkeypatch.setattr("edgepress.training.student_recipe.train_student", train)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 80, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    options = {"cut": "stem", "beta": [1.0, 0.5, 0.1], "hidden": 8, "steps": 7, "answer_steps": 0, "keep": 1}
    wanted = Recipe(
        model=f"{NETS}:teacher", method="entropic-student", data=str(pictures), options=options, engines=("ort",),
        inputs={"image": InputRecipe((1, 3, 64, 64), "float32", student_nets.PREPARE)}, golden=1, samples=6,
        output=str(tmp_path / "a.edge"), target=BOARDS,
    )  # fmt: skip
    _, steps = plan(wanted, split_cache)
    assert [(step.name, step.cached) for step in steps] == [("train", False)]
    teacher = resolve(wanted.model, (student_nets.INPUT,))
    teacher = dataclasses.replace(teacher, prepare={"image": student_nets.PREPARE})
    for ran, reused in ((["train"], []), ([], ["train"])):
        job = Job(wanted, teacher, load_target("rpi5"), split_cache, Silent())
        source, recipe_left = student_of(job)
        assert (job.ran, job.reused) == (ran, reused)
        assert source.name == "student-nets-student" and list(source.parts) == ["device", "server"]
        assert recipe_left == dataclasses.replace(wanted, inputs={})
    assert asked == [("stem", (1.0, 0.5, 0.1), {"hidden": 8}, 7, None)]
    _, steps = plan(wanted, split_cache)
    assert (steps[0].name, steps[0].cached, steps[-1].name) == ("train", True, "symbols")


def test_a_file_and_its_teacher(tmp_path: Path) -> None:
    """A teacher that is not of the zoo is named; it must be the one that the file was distilled from."""
    place = f"{NETS}:teacher"
    frozen = student_nets.filed(resolve(place, (student_nets.INPUT,)).digest)
    path = tmp_path / "Small_Student.safetensors"
    write_student(path, frozen)
    source = resolve(str(path), teachers=(place,))
    assert source.name == "small-student" and list(source.parts) == ["device", "server"]
    assert source.origin == {"kind": "student", "name": path.name}
    latents = torch.zeros(1, 5, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            source.parts["server"].load()(latents), frozen.heads["server"].module(latents)
        )
    with pytest.raises(SourceError, match="--teacher"):
        resolve(str(path))
    with pytest.raises(SourceError, match=r"none of .*stranger is that network as it was then"):
        resolve(str(path), teachers=(f"{NETS}:stranger",))


def test_a_student_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = zoo.ZooEntry(
        "tiny", lambda: None, str, (), {}, (), None, "for tests", student=student_nets.student
    )
    monkeypatch.setitem(zoo._ENTRIES, "tiny", lambda: entry)
    source = resolve("tiny")
    assert list(source.parts) == ["device", "server"] and source.origin["kind"] == "zoo"
    changed = student_nets.student()
    with torch.no_grad():
        next(changed.heads["server"].module.parameters()).add_(1e-3)
    monkeypatch.setitem(zoo._ENTRIES, "tiny", lambda: dataclasses.replace(entry, student=lambda: changed))
    other = resolve("tiny")
    assert other.digest != source.digest and other.parts["device"].digest == source.parts["device"].digest


def test_a_recipe_names_the_fallback_from_its_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'model = "s.safetensors"\nfallback = "net.py:net"\nteachers = ["t.py:t", "efficientnet-lite0"]\n'
    )
    found = read_recipe(path)
    assert (found.model, found.fallback) == (str(tmp_path / "s.safetensors"), f"{tmp_path}/net.py:net")
    assert found.teachers == (f"{tmp_path}/t.py:t", "efficientnet-lite0")
