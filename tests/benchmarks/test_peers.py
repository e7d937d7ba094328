"""The comparison with other engines: its statistics, its checks, and what makes it incomplete."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest

from edgepress.exporters import export_module
from edgepress.tensor import TensorSpec
from tests.benchmarks.peers import __main__ as command
from tests.benchmarks.peers import plot, rounds
from tests.benchmarks.peers.compare import Comparison, compare
from tests.benchmarks.peers.cores import CoreProbe, Together
from tests.benchmarks.peers.graphs import CHECKED, noise, reference, write_arrays
from tests.benchmarks.peers.inputs import example_set, rotation
from tests.benchmarks.peers.networks import NAMES
from tests.benchmarks.peers.report import Case, as_data, as_text, problems
from tests.benchmarks.peers.rounds import Entry, Protocol, run_case
from tests.benchmarks.peers.statistic import median, ratio
from tests.benchmarks.peers.task import Task
from tests.compilers.networks import small_mobile


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as ``prepare`` writes it, for a network that compiles quickly."""
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("graphs")
    image = TensorSpec("image", (1, 3, 32, 32))
    model = export_module(small_mobile(), (image,), max_opset=18, max_ir=10).model
    tensors = {
        kind: [
            {
                "name": info.name,
                "shape": [extent.dim_value for extent in info.type.tensor_type.shape.dim],
                "dtype": "float32",
            }
            for info in infos
        ]
        for kind, infos in (("inputs", model.graph.input), ("outputs", model.graph.output))
    }
    facts = {**tensors, "macs": 1000, "weight_bytes": {"fp32": 400, "int8": 100}, "int8_steps": {}}
    (folder / "facts.json").write_text(json.dumps(facts))
    (folder / "fp32.onnx").write_bytes(model.SerializeToString())
    task = Task("small", 32, 1.0, "fp32", 1, str(folder))
    write_arrays(
        folder / "fp32.npz",
        reference(onnx.load(task.model), [example_set(task.inputs, i) for i in range(CHECKED)]),
    )
    return folder


def test_a_median_lies_in_its_interval_and_ratios_are_paired() -> None:
    rng = np.random.default_rng(1)
    drift = np.linspace(1, 5, 40)[:, None]  # the machine grows slower: both alike
    slow = (2 * drift * rng.uniform(0.99, 1.01, (40, 5))).tolist()
    fast = (drift * rng.uniform(0.99, 1.01, (40, 5))).tolist()
    found = median(fast)
    assert found.low <= found.value <= found.high
    between = ratio(slow, fast)
    assert 1.98 < between.low <= between.value <= between.high < 2.02
    assert ratio(fast, fast).low == ratio(fast, fast).high == 1.0


def test_inputs_repeat_and_rotate_over_more_than_the_caches() -> None:
    given = (TensorSpec("image", (1, 3, 225, 225)), TensorSpec("token", (1, 8)))
    first, again = example_set(given, 3), example_set(given, 3)
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["image"] != example_set(given, 4)["image"]).any()
    sets = rotation(given)
    assert sum(array.nbytes for one in sets for array in one.values()) > 20_000_000
    assert all(array.any() for one in sets for array in one.values())  # pages never written share one page


def test_outputs_are_compared_in_the_way_their_precision_asks(graphs: Path) -> None:
    task = Task("small", 32, 1.0, "fp32", 1, str(graphs))
    expected = dict(np.load(graphs / "fp32.npz"))
    assert compare(task, expected, False).passed
    off = {name: array + 1e-3 * np.abs(array).max() for name, array in expected.items()}
    assert not compare(task, off, False).passed
    assert not compare(task, {}, False).passed
    name = next(iter(expected))
    assert not compare(task, {**expected, name: np.full_like(expected[name], np.nan)}, False).passed
    assert noise(np.ones(4), np.ones(4)) == 200.0
    assert noise(np.ones(4), np.full(4, 1.1)) == pytest.approx(20.0)


def test_engines_take_turns_and_a_missing_one_makes_it_incomplete(graphs: Path) -> None:
    task = Task("small", 32, 1.0, "fp32", 1, str(graphs))
    said: list[str] = []
    entries, together = run_case(task, ("aot", "ort", "absent"), Protocol(3, 2), said.append)
    assert together == []
    ours, ort, absent = entries
    assert (ours.problem, ort.problem) == ("", "")
    assert [len(block) for block in ours.seconds] == [2, 2, 2]
    assert all(run > 0 for block in ort.seconds for run in block)
    assert "absent" in absent.problem and any("absent" in line for line in said)
    case = Case("small", task, tuple(entries))
    assert len(problems([case])) == 1
    data = as_data(case, None)
    assert data["best_peer"] == "ort"
    assert data["engines"]["ort"]["ratio_to_best_peer"]["value"] == 1.0
    assert "incomplete" in as_text(case, None)
    assert json.dumps(data)


def test_other_threads_and_another_precision_make_it_incomplete(graphs: Path) -> None:
    (graphs / "int8.onnx").write_bytes((graphs / "fp32.onnx").read_bytes())
    write_arrays(graphs / "int8.npz", dict(np.load(graphs / "fp32.npz")))
    task = replace(Task("small", 32, 1.0, "fp32", 1, str(graphs)), precision="int8")
    (entry,), _ = run_case(task, ("ort",), Protocol(1, 1), lambda _: None)
    assert "computes in fp32, not in int8" in entry.problem
    assert entry.seconds == []


def test_wrong_outputs_are_not_timed(graphs: Path, tmp_path: Path) -> None:
    for file in graphs.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    expected = dict(np.load(graphs / "fp32.npz"))
    write_arrays(tmp_path / "fp32.npz", {name: 2 * array + 1 for name, array in expected.items()})
    task = Task("small", 32, 1.0, "fp32", 1, str(tmp_path))
    (entry,), _ = run_case(task, ("ort",), Protocol(1, 1), lambda _: None)
    assert "outputs are wrong" in entry.problem


def test_the_exit_status_says_incomplete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(*_: object) -> Case:
        (tmp_path / "facts.json").write_text('{"macs": 1, "weight_bytes": {"fp32": 1}}')
        task = Task("lite0", 224, 1.0, "fp32", 1, str(tmp_path))
        return Case("lite0", task, (Entry("ncnn", problem="it is not installed"),))

    monkeypatch.setattr(command, "_measure", measured)
    monkeypatch.setattr(command, "_peaks", lambda threads: None)
    out = tmp_path / "out.json"
    arguments = ["peers", "--networks", "lite0", "--precision", "fp32", "--threads", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", arguments)
    assert command.main() == 1
    assert "incomplete" in capsys.readouterr().out
    assert json.loads(out.read_text())["complete"] is False


def test_networks_by_name_size_and_width() -> None:
    assert command._networks("lite0,mobilenetv2@160,mobilenetv2@224x0.75") == [
        ("lite0", 224, 1.0), ("mobilenetv2", 160, 1.0), ("mobilenetv2", 224, 0.75),
    ]  # fmt: skip
    assert [name for name, _, _ in command._networks("all")] == list(NAMES)
    assert command._networks("sizes,lite0,mobilenetv2@160") == [
        ("mobilenetv2", 160, 1.0), ("mobilenetv2", 192, 1.0), ("mobilenetv2", 225, 1.0),
        ("mobilenetv2", 224, 0.75), ("lite0", 224, 1.0),
    ]  # fmt: skip
    for wrong in ("vgg", "resnet18@160", "mobilenetv2@", "mobilenetv2@160x"):
        with pytest.raises(argparse.ArgumentTypeError):
            command._networks(wrong)


def test_a_less_accurate_peer_is_not_the_best_one(tmp_path: Path) -> None:
    (tmp_path / "facts.json").write_text('{"macs": 1, "weight_bytes": {"int8": 1}}')
    task = Task("lite0", 224, 1.0, "int8", 1, str(tmp_path))

    def entry(engine: str, seconds: float, decibels: float, own: bool, accurate: bool) -> Entry:
        found = Comparison(0.1, 1.0, decibels, "10.0 dB to fp32", True, accurate)
        return Entry(engine, own_model=own, comparison=found, seconds=[[seconds] * 3] * 3)

    entries = (
        entry("aot", 1.0, 30.0, False, True), entry("ort", 3.0, 30.0, False, True),
        entry("executorch", 2.0, 13.9, True, False), entry("ncnn", 4.0, 29.0, True, True),
    )  # fmt: skip
    case = Case("lite0", task, entries)
    assert case.best_peer is entries[1]
    lines = as_text(case, None).splitlines()
    assert ["less accurate" in line for line in lines if "its own quantisation" in line] == [True, False]


def test_an_engine_that_quantises_worse_passes_but_is_not_as_accurate(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plain = rng.standard_normal((1, 1000))
    quantised = plain + 0.01 * rng.standard_normal(plain.shape)
    write_arrays(tmp_path / "fp32.npz", {"0/y": plain})
    write_arrays(tmp_path / "int8.npz", {"0/y": quantised})
    (tmp_path / "facts.json").write_text('{"int8_steps": {}}')
    task = Task("lite0", 224, 1.0, "int8", 1, str(tmp_path))
    worse = compare(task, {"0/y": plain + 0.1 * rng.standard_normal(plain.shape)}, True)
    assert (worse.passed, worse.as_accurate) == (True, False)
    assert compare(task, {"0/y": quantised}, True).as_accurate


def test_rounds_on_shared_cores_are_measured_again(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [2.0, 2.0, 2.0, 1.1, 1.2, 2.0, 1.9, 2.0]  # before and after each of four rounds
    asked: list[float] = []

    class Probe:
        cores = (0, 1)

        def __init__(self, cores: object) -> None:
            pass

        def ask(self) -> Together:
            asked.append(answers[len(asked)])
            return Together(asked[-1], 100.0)

    monkeypatch.setattr(rounds, "CoreProbe", Probe)
    monkeypatch.setattr(rounds, "_cores", lambda threads, protocol: (0, 1))
    task = Task("small", 32, 1.0, "fp32", 2, str(graphs))
    entries, together = run_case(task, ("ort",), Protocol(2, 1), lambda _: None)
    assert [found.scaling for found in together] == [2.0, 1.9]
    assert len(entries[0].seconds) == 2 and asked == answers
    assert "did 1.90 to 2.00 times" in as_text(Case("small", task, tuple(entries), tuple(together)), None)


def test_two_threads_on_one_core_are_seen() -> None:
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    probe = CoreProbe((core, core))
    alone, both = (min(probe._work((core,) * count) for _ in range(5)) for count in (1, 2))
    assert both > 1.4 * alone


def test_the_plot_puts_the_fastest_on_top_and_less_accurate_ones_in_pale() -> None:
    class Panel:
        said: ClassVar[list[str]] = []

        def barh(self, names: list[str], values: list[float], color: list[str], **_: object) -> None:
            self.bars = list(zip(names, values, color, strict=True))

        def text(self, x: float, y: float, said: str, **_: object) -> None:
            self.said.append(said)

        def __getattr__(self, name: str) -> object:
            return lambda *_, **__: None

    def engine(ratio: float, accurate: bool) -> dict[str, object]:
        figure = {"value": ratio, "low": ratio, "high": ratio}
        return {
            "ratio_to_best_peer": figure, "median_ms": figure, "comparison": {"as_accurate": accurate},
        }  # fmt: skip

    engines = {"ort": engine(1.0, True), "aot": engine(0.5, True), "ncnn": engine(2.0, False), "absent": {}}
    panel = Panel()
    plot._panel(panel, {"network": "lite0", "precision": "int8", "threads": 2, "engines": engines})
    assert panel.bars == [("ncnn", 2.0, plot._LESS), ("ort", 1.0, plot._PEER), ("aot", 0.5, plot._OURS)]
    assert panel.said == ["2.00  2.00 ms", "1.00  1.00 ms", "0.50  0.50 ms"]
