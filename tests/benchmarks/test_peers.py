"""The comparison with other engines: its statistics, its checks, and what makes it incomplete."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgepress.exporters import export_module
from edgepress.tensor import TensorSpec
from tests.benchmarks.peers import __main__ as command
from tests.benchmarks.peers.compare import compare
from tests.benchmarks.peers.graphs import CHECKED, noise, reference, write_arrays
from tests.benchmarks.peers.inputs import example_set, rotation
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
    entries = run_case(task, ("aot", "ort", "absent"), Protocol(3, 2), said.append)
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
    (entry,) = run_case(task, ("ort",), Protocol(1, 1), lambda _: None)
    assert "computes in fp32, not in int8" in entry.problem
    assert entry.seconds == []


def test_wrong_outputs_are_not_timed(graphs: Path, tmp_path: Path) -> None:
    for file in graphs.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    expected = dict(np.load(graphs / "fp32.npz"))
    write_arrays(tmp_path / "fp32.npz", {name: 2 * array + 1 for name, array in expected.items()})
    task = Task("small", 32, 1.0, "fp32", 1, str(tmp_path))
    (entry,) = run_case(task, ("ort",), Protocol(1, 1), lambda _: None)
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
    for wrong in ("vgg", "resnet18@160", "mobilenetv2@", "mobilenetv2@160x"):
        with pytest.raises(argparse.ArgumentTypeError):
            command._networks(wrong)
