"""The student that comes with the project: what it is, and that it serves."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from edgepress import zoo
from edgepress.coding.coder import channels_of, cost
from edgepress.coding.frozen import read_codings
from edgepress.coding.split import integers, server_input
from edgepress.nn.student.frozen import FrozenStudent
from edgepress.zoo.trained import STUDENTS, TrainedFile

NAME = "efficientnet-lite0-student"
IDENTITY = "fdbf72013b1e24e061e16a9e1af636f6"  # streams of earlier versions are answered as long as it stays
LEAST = (
    5  # of six photographs, on which the teacher's first class is among the student's five at the finest rate
)


@pytest.fixture(scope="module")
def student() -> FrozenStudent:
    found = zoo.entry(NAME).student
    assert found is not None
    frozen: FrozenStudent = found()
    return frozen


def test_it_is_small(student: FrozenStudent) -> None:
    """At most 10 MB, and at most 40 million multiply-adds on the device: less than what it replaces."""
    assert list(STUDENTS) == [NAME]
    assert TrainedFile(NAME).path.stat().st_size <= 10e6
    assert student.macs["device"] <= 40e6
    assert student.macs["device"] < student.macs["replaced"] < student.macs["teacher"]


def test_it_says_how_it_was_made(student: FrozenStudent) -> None:
    assert student.identity == IDENTITY
    assert student.facts["command"].startswith("edgepress train student efficientnet-lite0")
    assert len(student.facts["kept_apart"]) >= 300
    assert not set(student.facts["kept_apart"]) & set(student.facts["trained_on"])
    sizes = [rate.bytes for rate in student.rates]
    assert None not in sizes and sizes == sorted(sizes, key=lambda size: size or 0.0)
    assert [rate.agreement for rate in student.rates] == sorted(
        rate.agreement or 0.0 for rate in student.rates
    )


def test_photographs_pass(student: FrozenStudent) -> None:
    """Through encoder, integers and server half, with few enough bytes and nearly always the teacher's answer."""
    teacher, about = zoo.entry("efficientnet-lite0").module(), student.teacher
    split, rate = student.description(), len(student.rates) - 1
    (coding,) = read_codings(student.models[rate])
    assert channels_of(coding) == split.latents
    agreed = 0
    photographs = (
        data.chelsea(),
        data.coffee(),
        data.astronaut(),
        data.rocket(),
        data.cat(),
        data.hubble_deep_field(),
    )
    with torch.no_grad():
        for pixels in photographs:
            x = about.prepare.from_array(pixels, about.input)
            latents = student.encoder(torch.from_numpy(x))[0].numpy()
            sent = integers(latents, student.steps[rate], split.highest)
            assert cost(coding, sent) / 8 < 2 * (student.rates[rate].bytes or 0.0)
            taken = server_input(sent, student.steps[rate], student.rates[rate].plane)
            given = student.heads["server"].module(torch.from_numpy(taken))
            agreed += int(teacher(torch.from_numpy(x)).argmax() in given[0].topk(5).indices)
    assert agreed >= LEAST
