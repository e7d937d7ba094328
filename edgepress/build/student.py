"""The road of ``--method entropic-student`` from a whole network: the one place where a build trains a student."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from edgepress.build.data import files_digest
from edgepress.build.job import Job
from edgepress.coding.split import DEVICE, LOCAL, SERVER
from edgepress.errors import UsageError
from edgepress.methods import configure
from edgepress.methods.entropic_student import METHOD, NAME
from edgepress.recipe import Recipe, part_targets
from edgepress.records import near
from edgepress.source import Source, student_source
from edgepress.split_source import SplitSource
from edgepress.targets import load_target

_FILE = "student.safetensors"


def student_of(job: Job) -> tuple[Source, Recipe]:
    """What to build: the student of the job's source where its method is to split that, else the source as it is.

    Returns:
        The source, and the recipe without what it said of the teacher.

    Raises:
        Planned: in a dry run, where the student is still to be trained.
        UsageError: there is nothing to train on, or the network is none that can be a teacher.
        EdgepressError: see :func:`edgepress.training.student_recipe.train_student`.
    """
    source, recipe = job.source, job.recipe
    if recipe.method != NAME or isinstance(source.joined, SplitSource):
        return source, recipe
    if source.kind != "torch" or source.parts:
        raise UsageError(
            f"{source.name} is no torch network, and only these have students; give file.py:callable, or a student's "
            "file"
        )
    if not Path(recipe.data).is_dir() or not recipe.data:
        raise UsageError(
            f"a student of {source.name} learns from pictures; give a folder of them with --data"
        )
    _check_boards(recipe)
    config = configure(METHOD, recipe.options)
    given: dict[str, Any] = config.training()
    if "start" in given:
        given["start"] = Path(given["start"])
    from edgepress.training.student_options import recipe_of
    from edgepress.training.student_pictures import find_pictures
    from edgepress.training.student_recipe import teacher_of, train_student

    training = recipe_of(source, given)
    about, _ = teacher_of(source, training.layer)
    pictures = find_pictures([Path(recipe.data)], about.prepare, about.input, training.keep)  # type: ignore[arg-type]
    start = files_digest([training.start], "") if training.start is not None else ""
    wanted = {
        "teacher": source.digest,
        "options": {name: value for name, value in given.items() if name != "start"},
        "start": start,
        "data": files_digest(pictures.material.paths, ""),
    }

    def work(folder: Path, progress: Any) -> None:
        with job.cache.unfinished(job.key("train", wanted)) as checkpoints:
            train_student(
                training, [Path(recipe.data)], folder / _FILE, checkpoints,
                command=f"edgepress build {about.name} --method {NAME}", device=config.device, progress=progress,
            )  # fmt: skip

    with contextlib.nullcontext() if job.dry else job.cache.building():
        done = job.step("train", "training the student", wanted, work, _figure)
    job.cache.forget(done.key)
    from edgepress.nn.student.student_file import read_student_file

    frozen = read_student_file(done.folder / _FILE, lambda teacher: source.load())
    made = student_source(f"{source.name}-student", frozen, {**source.origin, "kind": "student"})
    return made, dataclasses.replace(recipe, inputs={}, outputs={}, labels="", weights="")


def _check_boards(recipe: Recipe) -> None:
    """A wrong name is said before an hour's training, not after."""
    known = ("", DEVICE, SERVER, LOCAL)
    for part, board in part_targets(recipe.target).items():
        if part not in known:
            raise UsageError(
                f"a student has no part {part!r}{near(part, known)}; it has {DEVICE} and {SERVER}"
            )
        load_target(board)


def _figure(folder: Path) -> str:
    return f"{(folder / _FILE).stat().st_size / 1e6:.1f} MB"
