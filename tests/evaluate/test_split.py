"""Measuring a split network: what is counted on pictures, and beside whom."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError, UsageError
from edgepress.evaluate.classifier import open_judge
from edgepress.evaluate.sender import open_sender, teacher_of
from edgepress.evaluate.split import SplitEvaluation, evaluate_split
from edgepress.evaluate.teacher import Teacher
from edgepress.inputs import ImageInput
from edgepress.inputs.image import pixels
from edgepress.runtimes.session import load
from edgepress.runtimes.split_session import SplitSession
from tests.bundles import SIDE, write_tiny
from tests.splits import write_split

PICTURES = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose names begin with a class, and a file that is none."""
    made = tmp_path_factory.mktemp("photographs")
    for index in range(PICTURES):
        noise = np.random.default_rng(index).uniform(0, 255, (3, 4, 3))
        image = Image.fromarray(noise.astype(np.uint8)).resize((40, 30), Image.Resampling.BICUBIC)
        image.save(made / f"{index % 3:03}_{index}.png")
    (made / "002_bad.jpg").write_bytes(b"no picture")
    return made


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split network, another of its form, and their teacher."""
    made = tmp_path_factory.mktemp("bundles")
    write_split(made / "halves.edge", parts=("device", "server"))
    write_split(made / "cr.edge", parts=("device", "server"), seed=1)
    write_split(made / "device-alone.edge", parts=("device",))
    write_tiny(made / "teacher.edge")
    return made


def measure(folder: Path, bundles: Path, name: str, *others: str, **options: object) -> SplitEvaluation:
    with ExitStack() as stack:
        teacher = stack.enter_context(open_judge(str(bundles / "teacher.edge"), Teacher))
        senders = [stack.enter_context(open_sender(one, teacher)) for one in (name, *others)]
        return evaluate_split(senders[0], teacher, folder, senders[1:], **options)[0]  # type: ignore[arg-type]


def test_the_figures_are_those_of_the_bundles_own_streams(folder: Path, bundles: Path) -> None:
    found = measure(folder, bundles, str(bundles / "halves.edge"), "device", agreements=(0.5,))
    assert (found.sender, found.pictures, found.labels) == (
        "halves",
        PICTURES,
        "numbers at the beginning of file names",
    )
    assert [Path(name).name for name in found.unreadable] == ["002_bad.jpg"]
    with load(bundles / "halves.edge") as split, load(bundles / "teacher.edge") as teacher:
        assert isinstance(split, SplitSession)
        files = sorted(folder.glob("*.png"))
        truth = [teacher.run(file, 1).labels[0].index for file in files]
        for rate, point in enumerate(found.curves[0].points):
            streams = [split.encode(file, rate) for file in files]
            classes = [split.answer(stream).labels[0].index for stream in streams]
            assert point.bytes.value == pytest.approx(np.mean([len(stream) for stream in streams]))
            assert point.bytes.low <= point.bytes.value <= point.bytes.high  # type: ignore[operator]
            assert point.agreement.value == pytest.approx(np.mean(np.equal(classes, truth)))
            labels = [int(file.name[:3]) for file in files]
            assert point.accuracy.value == pytest.approx(np.mean(np.equal(classes, labels)))
            assert point.agreement.low < point.agreement.value + 1e-9 < point.agreement.high + 2e-9  # type: ignore[operator]
    whole = found.curves[1].points[0]
    assert (whole.bytes.value, whole.agreement.value) == (0, 1)
    assert not found.comparisons  # of what sends nothing there is no ratio


def test_picture_codecs_send_what_the_teacher_looks_at(folder: Path, bundles: Path) -> None:
    found = measure(folder, bundles, "jpeg", "webp", agreements=(0.5,))
    shares = [point.agreement.value or 0 for point in found.curves[0].points]
    assert shares[-1] > 0.7 and shares[-1] >= shares[0]
    assert f"{SIDE} x {SIDE} pixels" in found.curves[0].about and "Pillow" in found.curves[0].about
    rated = [one for one in found.comparisons if one.rate is not None]
    assert len(rated) == len(shares) and {one.other for one in rated} == {"webp"}
    assert [one.agreement for one in rated] == pytest.approx(shares)
    (given,) = (one for one in found.comparisons if one.rate is None)
    assert given.agreement == 0.5 and "50.0%" in given.verdict


def test_a_student_against_another(folder: Path, bundles: Path) -> None:
    found = measure(folder, bundles, str(bundles / "halves.edge"), str(bundles / "cr.edge"))
    assert {one.other for one in found.comparisons} == {"cr"} and len(found.comparisons) == 2
    twice = measure(folder, bundles, str(bundles / "halves.edge"), str(bundles / "cr.edge"))
    assert twice == found  # nothing is left to chance


def test_a_crop_is_what_the_network_sees(bundles: Path, folder: Path) -> None:
    with open_judge(str(bundles / "teacher.edge"), Teacher) as teacher:
        for file in sorted(folder.glob("*.png")):
            picture = pixels(file.read_bytes(), file.name)
            crop = teacher.crop(picture)
            assert (crop.shape, crop.dtype) == ((SIDE, SIDE, 3), np.uint8)
            assert teacher.label_of_crop(crop) == teacher.label(picture)
            tensor = teacher.session.prepare(picture)["image"]
            kind = teacher.kind
            assert isinstance(kind, ImageInput)
            made = (crop.astype(np.float32) - kind.mean[0]) / kind.std[0]
            assert (made.transpose(2, 0, 1)[None] == tensor).all()


def test_what_cannot_be_measured_is_said(folder: Path, bundles: Path, tmp_path: Path) -> None:
    for name, error, said in (
        ("halves", UsageError, "there is no 'halves'; give a bundle or one of jpeg,"),
        ("wepb", UsageError, "did you mean 'webp'"),
        (str(bundles / "device-alone.edge"), UsageError, "holds no part server"),
    ):
        with pytest.raises(error, match=said):
            measure(folder, bundles, name)
    with pytest.raises(UsageError, match="held against itself"):
        measure(folder, bundles, "jpeg", "jpeg")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 files .* can be used; the first: .*a\.png"):
        measure(tmp_path, bundles, "jpeg")


def test_the_teacher_that_a_bundle_names_may_be_unknown(bundles: Path) -> None:
    assert teacher_of("webp") == "efficientnet-lite0"
    with pytest.raises(UsageError, match="its teacher is 'tiny'; name it with --teacher"):
        teacher_of(str(bundles / "halves.edge"))
    with pytest.raises(UsageError, match="it is no split network; name it with --teacher"):
        teacher_of(str(bundles / "teacher.edge"))
