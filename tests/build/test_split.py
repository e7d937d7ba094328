"""Bundles of students: parts and their boards, tables, checks, the device's fallback, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgepress
from edgepress import SplitSession
from edgepress.build import build, plan
from edgepress.build.cache import StepCache
from edgepress.build.listener import Silent
from edgepress.build.split_check import compare_split, head_feeds
from edgepress.bundle import Manifest, open_bundle
from edgepress.bundle.extract import extract_part
from edgepress.cli.main import main
from edgepress.coding.coder import PortableCoder
from edgepress.coding.description import model_name
from edgepress.coding.frozen import read_codings
from edgepress.coding.split import integers, read_steps, server_input, split_tables
from edgepress.errors import CheckError, UsageError
from edgepress.nn.student.frozen import FrozenStudent
from edgepress.recipe import Recipe
from edgepress.samples import Samples
from edgepress.split_source import split_source
from tests.build import student_nets
from tests.build.student_nets import BOARDS, NETS, recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, split_cache: StepCache) -> Path:
    """With a second head and a fallback."""
    path = tmp_path_factory.mktemp("split") / "whole.edge"
    target = f"{BOARDS},second=x86-64-v3"
    build(recipe("two_heads", path, target=target, fallback=f"{NETS}:teacher"), cache=split_cache)
    return path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command line prints on both of its streams."""

    def run(*words: object) -> str:
        with pytest.raises(SystemExit):
            main([*map(str, words)])
        found = capsys.readouterr()
        return found.out + found.err

    return run


def test_each_part_has_its_board_its_tensors_and_the_same_tables(whole: Path) -> None:
    frozen = student_nets.two_heads()
    with open_bundle(whole) as bundle:
        bundle.verify()
        parts = bundle.manifest.parts
        assert {name: part.target for name, part in parts.items()} == {
            "device": "rpi5", "server": "x86-64-v3", "second": "x86-64-v3", "local": "rpi5",
        }  # fmt: skip
        assert parts["device"].tables == parts["server"].tables == parts["second"].tables
        assert parts["local"].tables == {}
        split = bundle.split("device")
        assert split is not None
        assert split == bundle.split("second")
        assert bundle.split("local") is None and bundle.codec("device") is None
        assert (split.identity, split.heads) == (frozen.identity, ("server", "second"))
        assert set(parts["device"].tables) == set(split_tables(split))
        assert parts["device"].inputs[0].shape == (1, *split.shape) == parts["local"].inputs[0].shape
        assert parts["device"].outputs[0].shape == (1, 4, 8, 8)
        assert parts["server"].inputs[0].shape == parts["second"].inputs[0].shape == (1, 5, 8, 8)
        assert parts["second"].outputs[0].name == "kind" and parts["second"].outputs[0].shape == (1, 2)
        tables = parts["server"].tables
        np.testing.assert_array_equal(read_steps(bundle.member(tables["steps"]), split, "x"), frozen.steps)
        for rate, model in enumerate(frozen.models):
            assert bytes(bundle.member(tables[model_name(rate)])) == model
        assert (
            bundle.labels("local/labels.txt")
            == bundle.labels("server/labels.txt")
            == list(student_nets.LABELS)
        )


def test_costs_are_counted_where_the_student_does_not_tell_them(whole: Path) -> None:
    with open_bundle(whole) as bundle:
        split = bundle.split("device")
    assert split is not None
    assert 1.5e6 < split.device_macs < 1.6e6 and 1e5 < split.server_macs < 2e5


def test_checks_say_how_much_is_torchs(whole: Path) -> None:
    with open_bundle(whole) as bundle:
        checks, method = bundle.manifest.checks, bundle.manifest.method
    found = {(check.step, check.part, check.detail.partition(";")[0]): check for check in checks}
    for how in ("the portable graph", "ort"):
        symbols = found["symbols", "device", how]
        assert symbols.worst >= 0.999 == symbols.limit
        assert symbols.detail.count("0.99") + symbols.detail.count("1.0") == 3  # one a rate
        for head in ("server", "second"):
            assert found["answer", head, how].worst == 1.0
    emulated = [check for check in checks if check.part == "device" and check.step == "ort"]
    assert [check.unit for check in emulated] == ["absolute", "share of symbols"]
    assert method["name"] == "entropic-student" and method["teacher"] == "classifier"
    assert all(method[part]["name"] == "none" for part in ("device", "server", "local"))


def test_the_bundle_gives_what_torch_gives(whole: Path) -> None:
    """Both halves, by way of a stream whose integers are torch's, decoded by the definition in Python."""
    frozen = student_nets.two_heads()
    pixels = np.random.default_rng(5).integers(0, 256, (80, 64, 3), np.uint8)
    with edgepress.load(whole) as session:
        assert isinstance(session, SplitSession)
        (image,) = session.prepare(pixels).values()
        for rate in range(3):
            with torch.no_grad():
                latents = frozen.encoder(torch.from_numpy(image)).numpy()
                sent = integers(latents[0], frozen.steps[rate], session.split.highest)
                taken = server_input(sent, frozen.steps[rate], frozen.rates[rate].plane)
                expected = frozen.heads["server"].module(torch.from_numpy(taken)).numpy()
            stream = session.encode(pixels, rate)
            np.testing.assert_array_equal(session.integers(pixels, rate), sent)
            assert np.abs(sent).max() > 2
            answer = session.answer(stream)
            np.testing.assert_allclose(answer["scores"], expected, atol=1e-4)
            assert answer.labels[0].name == student_nets.LABELS[int(expected.argmax())]
            assert session.answer(stream, "second")["kind"].shape == (1, 2)
            (coding,) = read_codings(frozen.models[rate])
            body = PortableCoder(coding).encode(sent)
            assert stream.endswith(body) and len(stream) < len(body) + 64


def test_the_same_student_gives_the_same_bytes_and_other_boards_the_same_streams(
    whole: Path, split_cache: StepCache, tmp_path: Path
) -> None:
    target = f"{BOARDS},second=x86-64-v3"
    again = recipe("two_heads", tmp_path / "again.edge", target=target, fallback=f"{NETS}:teacher")
    assert not build(again, cache=split_cache).ran
    assert (tmp_path / "again.edge").read_bytes() == whole.read_bytes()
    _, steps = plan(again, split_cache)
    assert [step.name for step in steps][:2] == ["device: export", "device: press"]
    assert steps[-1].name == "symbols" and all(step.cached for step in steps)
    build(recipe("student", tmp_path / "one.edge", target="x86-64-v3"), cache=split_cache)
    with edgepress.load(whole) as first, edgepress.load(tmp_path / "one.edge") as other:
        assert isinstance(first, SplitSession) and isinstance(other, SplitSession)
        pixels = np.random.default_rng(6).integers(0, 256, (64, 64, 3), np.uint8)
        np.testing.assert_array_equal(
            other.answer(first.encode(pixels))["scores"], first.answer(other.encode(pixels))["scores"]
        )


def test_parts_are_taken_out_alone_or_together(whole: Path, tmp_path: Path, said: Callable[..., str]) -> None:
    alone, both = tmp_path / "device.edge", tmp_path / "both.edge"
    assert "--part device,local takes both" in said("extract", whole, "--part", "device", "-o", alone)
    assert "note" not in said("extract", whole, "--part", "local, device", "-o", both)
    with open_bundle(whole) as bundle, open_bundle(alone) as device, open_bundle(both) as pair:
        assert device.split("device") == bundle.split("server") == pair.split("device")
        assert list(device.manifest.parts) == ["device"] and set(pair.manifest.parts) == {"device", "local"}
        assert list(device.manifest.targets) == ["rpi5"]
        assert not any(
            member.startswith(("server/", "second/", "local/")) for member in device.manifest.members
        )
        assert {check.part for check in pair.manifest.checks} == {"device", "local"}
        with pytest.raises(UsageError, match="no part 'devise'"):
            extract_part(bundle, "devise,local", tmp_path / "no.edge")
        with edgepress.load(whole) as session, edgepress.load(both) as encoder:
            assert isinstance(session, SplitSession) and isinstance(encoder, SplitSession)
            pixels = np.zeros((64, 64, 3), np.uint8)
            assert session.answer(encoder.encode(pixels)).rate == 2
            assert encoder.network("local").run(pixels).labels


def test_heads_are_pressed_where_the_recipe_says_so(split_cache: StepCache, tmp_path: Path) -> None:
    path = tmp_path / "int8.edge"
    options = {"server": "int8"}
    manifest = build(recipe("student", path, target="x86-64-v3", options=options), cache=split_cache).manifest
    assert manifest.method["device"]["name"] == "none" and manifest.method["server"]["name"] == "int8"
    answer = next(check for check in manifest.checks if check.step == "answer")
    assert answer.limit == Recipe().gate.agreement
    with pytest.raises(UsageError, match=r"entropic-student: .*'servr'"):
        build(recipe("student", path, options={"servr": "int8"}), cache=split_cache)


def test_another_encoder_would_be_found_out(whole: Path, split_cache: StepCache, tmp_path: Path) -> None:
    """The check compares with the student that is built, at each rate."""
    feed = np.random.default_rng(0).standard_normal((1, 3, 64, 64))
    samples = Samples("x", "noise", 1, lambda: [{"image": feed.astype(np.float32)}])
    graphs = {}
    with open_bundle(whole) as bundle:
        for part in ("device", "server"):
            record = bundle.manifest.parts[part].graph
            graphs[part] = tmp_path / part / "graph.onnx"
            graphs[part].parent.mkdir()
            graphs[part].write_bytes(bundle.member(record.member))
            (tmp_path / part / "weights.bin").write_bytes(bundle.member(record.weights))
    engines: dict[str, list[Any]] = {"device": [], "server": []}

    def compared(student: FrozenStudent) -> list[dict[str, Any]]:
        return compare_split(split_source(student), graphs, engines, samples, Silent().progress)

    found, same = compared(student_nets.other()), compared(student_nets.student())
    assert [figure["part"] for figure in found] == ["device", "server"]
    assert found[0]["share"] < 0.9
    assert [figure["share"] for figure in same] == [1.0, 1.0]


def test_networks_that_are_not_torchs_stop_the_build(
    split_cache: StepCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = {"part": "device", "how": "ort", "detail": "", "share": 0.98}
    monkeypatch.setattr("edgepress.build.split_check.compare_split", lambda *_: [figure])
    with pytest.raises(CheckError, match=r"the part device .* 98\.0000% of symbols are the same, and 99\.9%"):
        build(recipe("cheap", tmp_path / "a.edge"), cache=split_cache)
    assert not (tmp_path / "a.edge").exists()


def test_a_device_that_costs_more_than_it_replaces_is_said(
    whole: Path, split_cache: StepCache, tmp_path: Path, said: Callable[..., str]
) -> None:
    class Notes(Silent):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def note(self, text: str) -> None:
            self.heard.append(text)

    notes = Notes()
    build(recipe("costly", tmp_path / "a.edge"), notes, split_cache)
    sentence = "the device's half costs more than what it replaces"
    assert any(sentence in note for note in notes.heard)
    page = said("inspect", tmp_path / "a.edge")
    assert sentence in page and "296% of the 100 k of the teacher's layers that it replaces" in page
    assert "0% of the 400 M of the whole teacher" in page
    assert sentence not in said("inspect", whole)


def test_what_run_encode_and_profile_say(whole: Path, photograph: Path, said: Callable[..., str]) -> None:
    found = said("run", whole, photograph, "--rate", "1", "--top", "2")
    assert "bytes sent, rate 1" in found and any(label in found for label in student_nets.LABELS)
    assert "kind" in said("run", whole, photograph, "--head", "second")
    assert "has no rate 3; it has 0 to 2" in said("run", whole, photograph, "--rate", "3")
    assert "runs one network here" in said("run", whole, photograph, "--part", "local", "--rate", "1")
    assert "edgepress run runs both halves" in said("encode", photograph, "--codec", whole)
    assert "edgepress run runs both halves" in said("decode", photograph, "--codec", whole)
    assert "(edgepress run uses both halves)" in said("profile", whole)
    assert "FAILED" not in (verified := said("verify", whole)) and "second" in verified


def test_examples_of_the_heads_are_what_the_device_sends() -> None:
    source = split_source(student_nets.student())
    feeds = [{"image": np.full((1, 3, 64, 64), value, np.float32)} for value in (0.1, 0.5, 0.9, -0.4)]
    planes = [float(feed["latents"][0, -1, 0, 0]) for feed in head_feeds(source, feeds)]
    assert planes == [0.0, -1.0, -2.0, 0.0]  # the rates in turn


def test_code_for_the_board_gives_the_same_symbols_in_the_emulator(
    split_cache: StepCache, tmp_path: Path, said: Callable[..., str]
) -> None:
    built = build(recipe("student", tmp_path / "a.edge", target="rpi4", engines=("aot",)), cache=split_cache)
    manifest: Manifest = built.manifest
    shares = [
        check
        for check in manifest.checks
        if check.part == "device" and check.step == "aot" and check.unit == "share of symbols"
    ]
    assert shares and all(check.origin == "emulated" and check.worst >= 0.999 for check in shares)
    facts = manifest.parts["device"].engines["aot"].facts
    assert facts["instructions"] > 1e4
    (streams,) = (check for check in manifest.checks if check.step == "stream")
    assert streams.part == "device" and streams.origin == "emulated" and streams.passed
    assert len(facts["stream_instructions"]) == 3 and min(facts["stream_instructions"]) > 1e4
    page = said("inspect", tmp_path / "a.edge")
    assert "an inference on the device (emulated)" in page
