"""Latency over links: real processes at both ends, a relay between them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepress.bundle import open_bundle
from edgepress.errors import EdgepressError, TargetError, UsageError
from edgepress.evaluate.as_sent import write_as_sent
from edgepress.evaluate.classifier import open_judge
from edgepress.evaluate.device_share import estimated_times, given_times
from edgepress.evaluate.sender import open_sender
from edgepress.evaluate.server_process import server_process
from edgepress.evaluate.split import evaluate_split
from edgepress.evaluate.split_latency import DeviceTime, Latencies, measure_latencies
from edgepress.evaluate.teacher import Teacher
from edgepress.hardware.link import Link
from edgepress.runtimes.session import load
from tests.bundles import picture, write_tiny
from tests.splits import write_split

SLOW, FAST = Link(2e4, 0.04), Link(1e8, 0.04)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("made")
    write_split(folder / "halves.edge", parts=("device", "server"))
    write_tiny(folder / "teacher.edge")
    (folder / "data").mkdir()
    for index in range(2):
        picture(folder / "data" / f"{index}.png", index)
    return folder


@pytest.fixture(scope="module")
def found(made: Path) -> Latencies:
    """Measured once: the processes take their time to start."""
    with ExitStack() as stack:
        teacher = stack.enter_context(open_judge(str(made / "teacher.edge"), Teacher))
        names = (str(made / "halves.edge"), "device")
        senders = [stack.enter_context(open_sender(name, teacher)) for name in names]
        curves, files = evaluate_split(senders[0], teacher, made / "data", senders[1:])
        times = {"device": DeviceTime(9.5, "published", "somewhere")}
        return measure_latencies(
            senders, curves.curves, teacher, files, (FAST, SLOW), 0.0, device_times=times
        )


def test_end_to_end(found: Latencies) -> None:
    assert (found.delay_ms, found.pictures) == (40, 2)
    assert [curve.sender for curve in found.curves] == ["halves", "device"]
    split = found.curves[0]
    assert [point.bits_per_s for point in split.points] == [2e4, 1e8]
    slow, fast = (point.latency.value or 0 for point in split.points)
    # What the relay adds is the body's time at least: with it go some headers, and the answer.
    assert slow >= 1e3 * SLOW.carry_s(int(split.bytes)) + 20
    assert slow - fast >= 0.9 * 8e3 * split.bytes / 2e4
    assert fast >= (split.device.value or 0) + 40 and 0 < (split.server.value or 0) < fast
    assert split.device.origin == split.points[0].latency.origin == "measured"
    assert "measured on this machine" in split.points[0].latency.how
    assert [one.other for one in found.crossings] == ["device"]
    assert found.crossings[0].below == (False, False) and "slower" in found.crossings[0].verdict


def test_another_devices_time_takes_the_place_of_this_ones(found: Latencies) -> None:
    device = found.curves[1]
    assert (device.bytes, device.server.value) == (0, 0)
    assert (device.device.value, device.device.origin) == (9.5, "published")
    for point in device.points:
        assert point.latency.value == pytest.approx(9.5) and point.latency.origin == "estimated"
        assert "9.5 ms of the device (published: somewhere)" in point.latency.how


def test_shares_as_they_are_given() -> None:
    names = ["student", "jpeg", "device"]
    found = given_times(["41.5", "device=210"], names)
    assert {name: time.ms for name, time in found.items()} == {"student": 41.5, "device": 210}
    for word, said in (
        ("jepg=3", "did you mean 'jpeg'"),
        ("fast", "'fast' is no time"),
        ("device=-1", "no time"),
        ("nan", "no time"),
    ):
        with pytest.raises(UsageError, match=said):
            given_times([word], names)


def test_shares_by_estimate(made: Path) -> None:
    with ExitStack() as stack:
        teacher = stack.enter_context(open_judge(str(made / "teacher.edge"), Teacher))
        senders = [
            stack.enter_context(open_sender(name, teacher))
            for name in (str(made / "halves.edge"), "jpeg", "device")
        ]
        found = estimated_times(senders, "rpi4")
        assert set(found) == {"halves", "device"}
        assert {one.origin for one in found.values()} == {"estimated"}
        assert 0 < found["halves"].ms < found["device"].ms and "rpi4" in found["halves"].how
        with pytest.raises(TargetError):
            estimated_times(senders, "rpi44")


def test_a_picture_that_was_cut_before_is_taken_as_it_is(made: Path, tmp_path: Path) -> None:
    with (
        open_judge(str(made / "teacher.edge"), Teacher) as teacher,
        open_bundle(made / "teacher.edge") as bundle,
    ):
        path = write_as_sent(bundle, "main", tmp_path / "sent.edge")
        with load(path) as session:
            for index in range(4):
                noise = np.random.default_rng(index).integers(0, 256, (30, 50, 3), np.uint8)
                crop = teacher.crop(noise)
                Image.fromarray(crop).save(tmp_path / "crop.png")
                assert session.run(tmp_path / "crop.png", 1).labels[0].index == teacher.label(noise)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(EdgepressError, match=r"does not start \(.*nowhere\.edge"),
        server_process(tmp_path / "nowhere.edge"),
    ):
        pass
