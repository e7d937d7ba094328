"""Options: totals are sums, times are the board's, what is measured goes before what is estimated."""

from __future__ import annotations

import dataclasses
import json
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgepress.build.listener import Silent
from edgepress.cutting.decide import Decision, decide, halves_of
from edgepress.cutting.device_times import estimated_times, time_of
from edgepress.cutting.divisions import Asked
from edgepress.cutting.drawing import draw
from edgepress.cutting.float_graph import FloatGraph, float_graph
from edgepress.cutting.measured_files import measured_files
from edgepress.cutting.measured_times import measured_times
from edgepress.cutting.options import ALL_DEVICE, ALL_SERVER, SPLIT
from edgepress.cutting.published import PIXELS, published_bytes
from edgepress.cutting.trained_student import trained_student
from edgepress.cutting.words import next_steps, verdict
from edgepress.errors import DataError, TargetError, UsageError
from edgepress.hardware.link import Link, parse_link
from edgepress.inputs import ImageInput
from edgepress.nn.student.cut import cut
from edgepress.progress import silent
from edgepress.targets import load_target
from tests.cutting.networks import diamond

SOURCE = FloatGraph(
    "diamond", "diamond.onnx", diamond(), {"x": ImageInput(mean=(127.0,), std=(128.0,))}, again="diamond.onnx"
)
HALVES = halves_of(SOURCE)


def decided(board: str = "rpi4", link: str = "5mbit,20ms", **changes: object) -> Decision:
    """The small network between a board and an x86 server, which nobody measures."""
    asked = Asked(load_target(board), load_target("x86-64-v3"), parse_link(link))
    return decide(SOURCE, HALVES, dataclasses.replace(asked, **changes))  # type: ignore[arg-type]


def test_totals_are_the_sums() -> None:
    found = decided()
    assert {one.kind for one in found.options} == {ALL_DEVICE, ALL_SERVER, SPLIT}
    totals = []
    for one in found.options:
        total, parts = one.total(found.link), (one.device, one.link(found.link), one.server)
        assert total.value == pytest.approx(sum(part.value or 0.0 for part in parts))
        assert (
            total.low is not None and total.high is not None and total.low <= (total.value or 0) <= total.high
        )
        assert one.road(found.link.delay_s).seconds(5e6) == pytest.approx((total.value or 0) / 1e3)
        totals.append(total.value)
    assert totals == sorted(totals, key=lambda value: value or 0.0)


def test_bytes_and_link_times() -> None:
    found = decided(link="1mbit,50ms")
    maps = {one.name: one for one in found.options}
    floats, integers = maps["float32 behind silu"], maps["int8 behind silu"]
    assert (floats.sent.bytes.value, integers.sent.bytes.value) == (4096, 1024)  # type: ignore[union-attr]
    assert floats.link(found.link).value == pytest.approx(50 + 8 * 4096 / 1e3)
    assert maps["all-server, pixels"].sent.bytes.value == 3 * 32 * 32  # type: ignore[union-attr]
    assert maps["all-device, fp32"].link(found.link).value == 0


def test_both_halves_do_all_of_the_work() -> None:
    for one in HALVES.candidates:
        assert one.before.macs + one.after.macs == HALVES.whole.macs
        assert one.before.layers + one.after.layers == HALVES.whole.layers
    assert HALVES.whole.macs == 16 * 16 * 8 * (27 + 72 + 72) + 8 * 8 * 16 * 72 + 160


def test_the_devices_times_are_its_boards() -> None:
    whole = time_of(HALVES.whole.layers, load_target("rpi4"), "fp32")
    assert whole.origin == "estimated" and "1.8 GHz" in whole.how
    times = [
        {one.name: one.device.value or 0.0 for one in decided(board).options if one.kind != ALL_SERVER}
        for board in ("rpi-zero2w", "rpi5")
    ]
    assert times[0].keys() == times[1].keys()
    assert all(times[0][name] > times[1][name] for name in times[0])


def test_without_a_peak_a_published_time_is_scaled_and_said_to_be() -> None:
    times = estimated_times(HALVES, load_target("jetson-nano"), "diamond")
    assert times[0].whole.origin == "estimated" and "ResNet-50" in times[0].whole.how
    assert times[0].whole.value == pytest.approx(93 * HALVES.whole.macs / 4.09e9)
    assert times[1].whole.origin == "unavailable"
    found = decided("jetson-nano")
    assert any("GPU" in note for note in found.notes)
    assert not any("int8" in one.curve for one in found.options)


def test_a_published_time_of_the_network_itself_is_taken() -> None:
    times = estimated_times(HALVES, load_target("rpi4"), "mobilenet-v2")
    assert (times[0].whole.value, times[0].whole.origin) == (61.9, "published")
    last = times[0].heads[-1]
    assert last.origin == "estimated" and 0 < (last.value or 0) < 61.9


def test_a_board_of_which_nothing_is_known_leaves_the_server() -> None:
    found = decided("cortex-m7")
    assert {one.kind for one in found.options} == {ALL_SERVER}
    assert any("clock" in note and "cortex-m7" in note for note in found.notes)
    assert "all-server" in verdict(found)


def test_what_does_not_fit_is_shown_and_not_chosen(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text('base = "rpi4"\ntitle = "tiny"\nmemory_bytes = 20000\n')
    found = decided(str(tmp_path / "tiny.toml"))
    large = [one for one in found.options if one.fits is False]
    assert large and all(one.kind == ALL_DEVICE and "does not fit" in one.name for one in large)
    assert not set(large) & set(found.fitting) and "fit" not in verdict(found)


def slow(folder: Path) -> str:
    """A board on which the small network takes as long as sending something does."""
    (folder / "slow.toml").write_text('base = "rpi-zero2w"\ntitle = "slow"\n[cpu]\nclock_hz = 1e7\n')
    return str(folder / "slow.toml")


def test_crossings_lie_between_the_options_that_they_name(tmp_path: Path) -> None:
    found = decided(slow(tmp_path), link="1mbit,1ms")
    by_name = {one.name: one.road(0.001) for one in found.options}
    assert found.crossings
    for one in found.crossings:
        rate = one.rate.value or 0.0
        assert by_name[one.below].seconds(rate) == pytest.approx(by_name[one.above].seconds(rate))
        assert by_name[one.below].seconds(rate / 2) < by_name[one.above].seconds(rate / 2)
        assert (
            one.rate.low is not None and one.rate.high is not None and one.rate.low <= rate <= one.rate.high
        )


def test_the_drawing_has_every_curve_and_crossing(tmp_path: Path) -> None:
    found = decided(slow(tmp_path), link="1mbit,1ms")
    draw(found, tmp_path / "plot.svg")
    root = xml.parse(tmp_path / "plot.svg").getroot()
    words = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    for curve in (
        "all-device, fp32",
        "all-device, int8",
        "split, float32",
        "split, int8",
        "all-server, pixels",
    ):
        assert curve in words
    assert sum(" below, " in word for word in words) == len(found.crossings) > 0


def test_published_bytes_rise_with_agreement_and_end() -> None:
    for name in ("student", "jpeg", "webp"):
        found = [published_bytes(name, share, PIXELS).value or 0.0 for share in (0.8, 0.85, 0.9, 0.95)]
        assert found == sorted(found)
        assert published_bytes(name, 0.9, 4 * PIXELS).value == pytest.approx(4 * found[2])
        assert published_bytes(name, 0.999, PIXELS).origin == "unavailable"
    small, jpeg = (published_bytes(name, 0.85, PIXELS) for name in ("student", "jpeg"))
    assert (small.value or 0) < (jpeg.low or 0) and small.origin == "estimated" and "WACV" in small.how


def profile(path: Path, names: list[str], **changes: object) -> Path:
    """What ``edgepress profile --layers --json`` prints of layers of one millisecond each."""
    layers = [{"name": name, "op": "Conv", "ms": 1.0, "nodes": [name], "integer": True} for name in names]
    data = {
        "target": "rpi4", "is_target": True, "threads": 4, "machine": {"cpu": "Cortex-A72"},
        "engines": [{"engine": "aot", "layers": layers}], **changes,
    }  # fmt: skip
    path.write_text(json.dumps(data))
    return path


def test_layers_measured_on_the_board_go_before_estimates(tmp_path: Path) -> None:
    nodes = [node.name for node in SOURCE.graph.graph.node]
    file = profile(tmp_path / "p.json", ["x/Quantize", *nodes])
    times = measured_times(file, load_target("rpi4"), HALVES)
    assert (times.precision, times.whole.value, times.whole.origin) == ("int8", len(nodes) + 1, "measured")
    assert [head.value for head in times.heads] == [one.cut.position + 1 for one in HALVES.candidates]
    found = decided(device=times)
    origins = {one.curve: one.device.origin for one in found.options if one.kind != ALL_SERVER}
    assert origins["all-device, int8"] == origins["split, int8"] == "measured"
    assert origins["all-device, fp32"] == "estimated"


def test_times_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    nodes = [node.name for node in SOURCE.graph.graph.node]
    board = load_target("rpi4")
    for changes, error, words in (
        ({"target": "rpi5"}, TargetError, "those of rpi5"),
        ({"is_target": False}, DataError, "not taken on a rpi4"),
        ({"engines": []}, DataError, "no times of layers"),
        ({"engines": 3}, DataError, "is not what"),
        ({"machine": None}, DataError, "is not what"),
    ):
        with pytest.raises(error, match=words):
            measured_times(profile(tmp_path / "p.json", nodes, **changes), board, HALVES)
    with pytest.raises(DataError, match="not those of this model"):
        measured_times(profile(tmp_path / "p.json", ["other"]), board, HALVES)
    for content in (b"", b"[1", b"[]", b'{"is_target": true}', b"\xff\xfe"):
        (tmp_path / "p.json").write_bytes(content)
        with pytest.raises(DataError, match="is not what"):
            measured_times(tmp_path / "p.json", board, HALVES)


def test_files_of_pictures_are_measured(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(6):
        coarse = Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8))
        coarse.resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.png")
    found = measured_files(SOURCE, tmp_path, 0.6, silent)
    assert [one.name for one in found] == ["JPEG", "WebP"]
    for one in found:
        assert one.bytes.origin == "measured" and one.agreement.origin == "measured"
        assert one.bytes.low is not None and one.bytes.high is not None
        assert one.bytes.low <= (one.bytes.value or 0) <= one.bytes.high
    files = [one for one in decided(files=found).options if one.kind == ALL_SERVER]
    assert {one.sent.bytes.origin for one in files if one.sent} == {"measured", "estimated"}
    with pytest.raises(UsageError, match="--image"):
        measured_files(dataclasses.replace(SOURCE, prepare={}), tmp_path, 0.6, silent)


@pytest.fixture(scope="module")
def torch_source(tmp_path_factory: pytest.TempPathFactory) -> FloatGraph:
    """The network in torch, exported once."""
    from edgepress.tensor import TensorSpec

    file = Path(__file__).with_name("networks.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPRESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        inputs = (TensorSpec("x", (1, 3, 32, 32), "float32"),)
        return float_graph(f"{file}:blocks", load_target("rpi4"), Silent(), inputs)


def test_a_cut_names_the_torch_layer_that_gives_its_tensor(torch_source: FloatGraph) -> None:
    halves = halves_of(torch_source)
    assert [one.layer for one in halves.candidates][1:3] == ["block", "relu"]
    first = halves.candidates[0]
    assert first.cut.shape == (1, 8, 16, 16) and first.layer == ""  # the shared ReLU's last output is another

    for one in halves.candidates:
        if one.layer and len(one.cut.shape) == 4:
            assert (
                cut(torch_source.module, torch.zeros(1, 3, 32, 32), one.layer).features == one.cut.shape[1:]
            )


def test_a_student_is_considered_where_one_can_be_trained(torch_source: FloatGraph) -> None:
    asked = Asked(load_target("rpi4"), load_target("x86-64-v3"), Link(1e6, 0.02))
    found = decide(torch_source, halves_of(torch_source), asked)
    students = [one for one in found.options if one.curve == "split, student"]
    assert {one.layer for one in students} >= {"", "block"}
    assert (
        len({one.device.value for one in students}) == 1
    )  # the encoder is the same wherever the server begins
    assert any("train student" in step for step in next_steps(found))


def test_a_trained_student_brings_its_own_figures(torch_source: FloatGraph, tmp_path: Path) -> None:
    from edgepress.coding.split import SplitRate
    from edgepress.nn.student.config import StudentConfig
    from edgepress.nn.student.frozen import Teacher, untrained
    from edgepress.nn.student.student_file import halved, write_student

    config = StudentConfig((3, 32, 32), (8, 16, 16), latents=4, hidden=8, width=16, blocks=1)
    about = Teacher(torch_source.model, "", "block", torch_source.inputs[0], ImageInput(), "y")
    rest = cut(torch_source.module, torch.zeros(1, 3, 32, 32), "block", ()).tail
    student = untrained(rest, about, config, (1.0, 0.1))
    halved(student.encoder), halved(student.heads["server"].module.decoder)  # type: ignore[arg-type]
    rates = (SplitRate(1.0, 0.0, 40.0, 0.8), SplitRate(0.1, -1.0, 90.0, 0.95))
    write_student(tmp_path / "s.safetensors", dataclasses.replace(student, rates=rates))
    for agreement, size in ((0.7, 40.0), (0.9, 90.0), (0.99, 90.0)):
        trained = trained_student(tmp_path / "s.safetensors", torch_source, agreement)
        assert (trained.layer, trained.sent.bytes.value, trained.sent.bytes.origin) == (
            "block",
            size,
            "measured",
        )
    asked = Asked(load_target("rpi4"), load_target("x86-64-v3"), Link(1e6, 0.02), student=trained)
    found = decide(torch_source, halves_of(torch_source), asked)
    (only,) = [one for one in found.options if one.curve == "split, student"]
    assert only.layer == "block" and only.sent is trained.sent
    with pytest.raises(UsageError, match="is a student of"):
        trained_student(tmp_path / "s.safetensors", dataclasses.replace(torch_source, model="other"), 0.9)
    with pytest.raises(UsageError, match="no torch network"):
        trained_student(tmp_path / "s.safetensors", SOURCE, 0.9)
