"""Measure a split network beside others on a folder of pictures: bytes, agreement with its teacher, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgepress.errors import DataError, EdgepressError, UsageError
from edgepress.evaluate.kept_apart import kept_apart, training_record
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.sender import Sender
from edgepress.evaluate.split_latency import Latencies
from edgepress.evaluate.split_points import Attempts, EqualAgreement, SentCurve, compare_bytes, curve
from edgepress.evaluate.teacher import Teacher
from edgepress.inputs import read_value
from edgepress.inputs.image import pixels
from edgepress.inputs.labelled import find_labelled
from edgepress.progress import Progress, silent


@dataclass(frozen=True)
class SplitEvaluation:
    """What was found.

    Attributes:
        sender: the one under test.
        teacher: what it is held against, in words.
        pictures: how many were measured on.
        which: which these are, in words.
        labels: where labels came from; empty where there are none.
        curves: the sender's own first, then the others', all on the same pictures.
        comparisons: the sender's bytes beside those of each other that sends any, at equal agreement.
        latencies: end to end over links; None where none was asked for.
        unreadable: files that could not be used, with the reason.
    """

    sender: str
    teacher: str
    pictures: int
    which: str
    labels: str
    curves: tuple[SentCurve, ...]
    comparisons: tuple[EqualAgreement, ...]
    latencies: Latencies | None = None
    unreadable: dict[str, str] = field(default_factory=dict)


def evaluate_split(
    sender: Sender,
    teacher: Teacher,
    data: Path,
    others: Sequence[Sender] = (),
    *,
    keep: Path | None = None,
    agreements: Sequence[float] = (),
    limit: int | None = None,
    progress: Progress = silent,
) -> tuple[SplitEvaluation, list[Path]]:
    """Run a sender and others at every rate on the pictures of a folder.

    Args:
        sender: the one under test.
        teacher: whose first class on the original is the right one.
        data: the folder, looked through with everything below it.
        others: those to hold it against.
        keep: a file with the names of the pictures to measure on, one a line; None takes all that no bundle says it
            was trained on.
        agreements: where bytes are compared, beside the agreement of each of the sender's rates.
        limit: at most so many pictures, evenly spread.
        progress: told of each picture and sender.

    Returns:
        What was found, and the files that it was found on.

    Raises:
        DataError: no picture can be used.
        UsageError: two senders have the same name, or a bundle was trained on a picture that ``keep`` names.
    """
    senders = [sender, *others]
    names = [one.name for one in senders]
    if len(set(names)) < len(names):
        raise UsageError(f"a network is held against itself ({', '.join(names)}); name each once")
    found = find_labelled(data, "image", teacher.class_names, teacher.classes)
    bundles = {id(one.session): one for one in senders if one.session not in (None, teacher.session)}
    records = [
        training_record(one.session.bundle.manifest, one.name) for one in bundles.values() if one.session
    ]
    files, which = kept_apart(found, keep, records)
    files = files.spread(limit)
    tried, unreadable = _try_all(senders, teacher, files.files, progress)
    if not tried:
        raise DataError(
            f"none of the {len(files.files)} files of {data} can be used; the first: {next(iter(unreadable.values()))}"
        )
    used = sorted(tried)
    truth = np.array([tried[index][0] for index in used])
    classes = np.array([files.classes[index] for index in used]) if files.classes else None
    attempts = [
        Attempts(*np.moveaxis(np.array([tried[index][1][place] for index in used]), 0, -1).transpose(1, 0, 2))
        for place in range(len(senders))
    ]
    evaluation = SplitEvaluation(
        sender.name, teacher.about, len(used), which, files.origin,
        tuple(
            curve(one.name, one.about, one.rates, each, truth, classes, files.origin)
            for one, each in zip(senders, attempts, strict=True)
        ),
        tuple(
            line
            for one, each in zip(others, attempts[1:], strict=True)
            if each.sizes.all() and attempts[0].sizes.all()
            for line in compare_bytes(sender.name, sender.rates, attempts[0], one.name, each, truth, agreements)
        ),
        unreadable=unreadable,
    )  # fmt: skip
    return evaluation, [files.files[index] for index in used]


Tried = tuple[int, list[list[tuple[int, int]]]]
"""Of one picture: the teacher's class; by sender, then by rate: bytes and class."""


def _try_all(
    senders: Sequence[Sender], teacher: Teacher, files: Sequence[Path], progress: Progress
) -> tuple[dict[int, Tried], dict[str, str]]:
    """By the index of the file; and what could not be used."""
    found: dict[int, Tried] = {}
    unreadable: dict[str, str] = {}
    for number, file in enumerate(files):
        done, total = number * len(senders), len(files) * len(senders)
        try:
            picture: Picture = pixels(*read_value(file))
            label, tried = teacher.label(picture), []
            for index, sender in enumerate(senders):
                progress(done + index, total, f"{file.name}, {sender.name}")
                tried.append([sender.answer(picture, rate) for rate in sender.rates])
        except EdgepressError as error:
            if isinstance(error, UsageError):
                raise
            unreadable[str(file)] = str(error) if str(file) in str(error) else f"{file}: {error}"
            continue
        found[number] = label, tried
    progress(len(files), len(files))
    return found, unreadable
