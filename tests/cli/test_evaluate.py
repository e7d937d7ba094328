"""``edgepress evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgepress.build.cache import StepCache
from edgepress.inputs import prepare
from tests.bundles import IMAGE, PREPARE, picture, run_model, tiny_graph, write_tiny
from tests.cli.conftest import Command


def truth(path: Path) -> int:
    """The class that the tiny network gives for a picture."""
    image = prepare(PREPARE, path, IMAGE)
    return int(np.argmax(run_model(tiny_graph(), {"image": image})["scores"]))


def figures(data: Any) -> dict[str, Any]:
    """Figures by name."""
    return {figure["name"]: figure for figure in data["figures"]}


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Eight pictures; the class before the name is right for six of them."""
    folder = tmp_path / "numbered"
    folder.mkdir()
    for index in range(8):
        path = picture(folder / "new.png", index)
        label = truth(path) if index < 6 else (truth(path) + 1) % 10
        path.rename(folder / f"{label:03d}_{index}.png")
    return folder


@pytest.fixture
def float_file(tmp_path: Path) -> Path:
    """The tiny network as an ONNX file."""
    path = tmp_path / "float.onnx"
    onnx.save(tiny_graph(), path)
    return path


def test_labels_by_number(edgepress: Command, tiny_bundle: Path, numbered: Path) -> None:
    data = edgepress("evaluate", tiny_bundle, "--data", numbered, "--json").data
    accuracy = figures(data)["top-1 accuracy"]
    assert data["examples"] == 8
    assert "numbers" in data["labels"]
    assert accuracy["value"] == 0.75
    assert accuracy["low"] == pytest.approx(0.4093, abs=1e-3)  # Wilson, 6 of 8
    assert accuracy["high"] == pytest.approx(0.9285, abs=1e-3)
    assert figures(data)["top-5 accuracy"]["value"] >= 0.75


def test_labels_by_folder(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    for index in range(4):
        path = picture(tmp_path / "new.png", index)
        folder = tmp_path / "data" / f"Thing_{truth(path)}"
        folder.mkdir(parents=True, exist_ok=True)
        path.rename(folder / f"{index}.png")
    data = edgepress("evaluate", tiny_bundle, "--data", tmp_path / "data", "--json").data
    assert "sub-folders" in data["labels"]
    assert figures(data)["top-1 accuracy"]["value"] == 1


def test_labels_by_table(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a.png", 0), picture(tmp_path / "b.png", 1)
    table = tmp_path / "labels.csv"
    table.write_text(f"file,label\na.png,thing {truth(first)}\nb.png,{(truth(second) + 1) % 10}\n")
    data = edgepress("evaluate", tiny_bundle, "--data", tmp_path, "--labels", table, "--json").data
    assert figures(data)["top-1 accuracy"]["value"] == 0.5
    text = edgepress("evaluate", tiny_bundle, "--data", tmp_path, "--labels", table).out
    assert "50.00% [" in text


def test_against_the_float_network(
    edgepress: Command, tiny_bundle: Path, numbered: Path, float_file: Path, tmp_path: Path
) -> None:
    same = edgepress("evaluate", tiny_bundle, "--data", numbered, "--original", float_file, "--json").data
    assert figures(same)["agreement with the float network"]["value"] == 1
    assert figures(same)["top-1 accuracy of the float network"]["value"] == 0.75
    onnx.save(tiny_graph(seed=1), float_file)
    other = edgepress("evaluate", tiny_bundle, "--data", numbered, "--original", float_file, "--json").data
    assert figures(other)["agreement with the float network"]["value"] < 1
    assert figures(other)["signal-to-noise ratio against the float network"]["value"] < 20


def test_without_labels_the_cache_is_asked(edgepress: Command, tmp_path: Path) -> None:
    key = "a" * 64
    bundle = write_tiny(tmp_path / "tiny.edge", source={"kind": "test", "float_graph_key": key})
    data = tmp_path / "data"
    data.mkdir()
    picture(data / "one.png", 0)
    ended = edgepress("evaluate", bundle, "--data", data)
    assert ended.code == 4
    assert "not in this machine's cache" in ended.err
    StepCache.default().make("export", key, lambda folder: onnx.save(tiny_graph(), folder / "graph.onnx"))
    found = edgepress("evaluate", bundle, "--data", data, "--json").data
    assert figures(found)["agreement with the float network"]["value"] == 1
    assert found["labels"] == ""


def test_auto_where_nothing_is_kept(edgepress: Command, tiny_bundle: Path, numbered: Path) -> None:
    ended = edgepress("evaluate", tiny_bundle, "--data", numbered, "--original", "auto")
    assert ended.code == 4
    assert "leave --original out" in ended.err


def test_unreadable_files_are_counted_and_named(
    edgepress: Command, tiny_bundle: Path, numbered: Path
) -> None:
    (numbered / "003_bad.jpg").write_bytes(b"no picture")
    (numbered / "notes.txt").write_text("no example")
    ended = edgepress("evaluate", tiny_bundle, "--data", numbered, "--json")
    assert ended.code == 0
    assert ended.data["examples"] == 8
    assert [Path(name).name for name in ended.data["unreadable"]] == ["003_bad.jpg"]
    assert "1 files could not be used" in edgepress("evaluate", tiny_bundle, "--data", numbered).out


def test_limit_spreads(edgepress: Command, tiny_bundle: Path, numbered: Path) -> None:
    assert (
        edgepress("evaluate", tiny_bundle, "--data", numbered, "--limit", 3, "--json").data["examples"] == 3
    )


def test_no_example_can_be_used(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert edgepress("evaluate", tiny_bundle, "--data", tmp_path / "data").code == 4
    (tmp_path / "data" / "000_a.png").write_bytes(b"")
    assert "none of the 1 files" in edgepress("evaluate", tiny_bundle, "--data", tmp_path / "data").err
    assert edgepress("evaluate", tiny_bundle, "--data", tmp_path / "nowhere").code == 4


@pytest.mark.parametrize("content", [b"", b"no graph"])
def test_a_damaged_float_network(
    edgepress: Command, tiny_bundle: Path, numbered: Path, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    assert edgepress("evaluate", tiny_bundle, "--data", numbered, "--original", path).code == 3
    assert (
        edgepress("evaluate", tiny_bundle, "--data", numbered, "--original", tmp_path / "none.onnx").code == 3
    )
