"""Sessions that are closed, arguments of the wrong type, caches that cannot be read, and what ONNX Runtime says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgepress.bundle import open_bundle, verified
from edgepress.errors import BundleError, DataError, EdgepressError, StorageError, UsageError
from edgepress.hardware.feed import example_inputs
from edgepress.hardware.measure import Protocol
from edgepress.paths import cache_dir
from edgepress.runtimes import load
from edgepress.tensor import TensorSpec
from tests.bundles import model, pixels, write_plain, write_tiny
from tests.runtimes.test_choose import HERE


def test_a_closed_session(tiny_bundle: Path) -> None:
    session = load(tiny_bundle)
    session.close()
    session.close()
    with pytest.raises(UsageError, match="is closed"):
        session.run(pixels(1))


@pytest.mark.parametrize("value", [None, 3, [pixels(1)], {3: pixels(1)}, {"image": None}])
def test_a_value_of_the_wrong_type(tiny_bundle: Path, value: Any) -> None:
    with load(tiny_bundle) as session, pytest.raises(DataError):
        session.run(value)


@pytest.mark.parametrize(
    "arguments", [{"part": 3}, {"engine": 3}, {"threads": "2"}, {"threads": 1.5}, {"threads": True}]
)
def test_an_argument_of_the_wrong_type(tiny_bundle: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load(tiny_bundle, **arguments)


def test_a_path_of_the_wrong_type() -> None:
    with pytest.raises(UsageError, match="give a path"):
        load(3)  # type: ignore[call-overload]


@pytest.mark.parametrize("folder", ["~no-such-user/cache", "x" * 300, "/dev/null/cache"])
def test_a_cache_that_cannot_be_used(tiny_bundle: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_CACHE", folder)
    with load(tiny_bundle) as session:
        assert session.run(pixels(1)).labels
        assert not verified.trusted(session.bundle.identity)
        assert not verified.known("0" * 64, session.bundle.identity)


def test_a_damaged_note_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path))
    (tmp_path / "verified").mkdir()
    (tmp_path / "verified" / "state").write_bytes(b"\xff\xfe")
    assert not verified.known("state", "identity")


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EDGEPRESS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_dir()
    assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
    assert cache_dir() == folder
    folder.chmod(0o777)
    with pytest.raises(StorageError, match="written by others"):
        cache_dir()


def test_one_error_is_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table, index, out = (
        TensorSpec("table", (2, 3)),
        TensorSpec("index", (1,), "int64"),
        TensorSpec("out", (1, 3)),
    )
    graph = model([helper.make_node("Gather", ["table", "index"], ["out"])], [table, index], [out])
    path = write_plain(tmp_path / "gather.edge", graph, (table, index), (out,))
    with load(path) as session, pytest.raises(EdgepressError, match="could not run"):
        session.run({"table": np.zeros((2, 3), np.float32), "index": np.array([9])})
    assert capfd.readouterr() == ("", "")


def test_inputs_for_timing_are_not_all_the_same(tmp_path: Path) -> None:
    inputs = (
        TensorSpec("tokens", (1, 64), "int64"),
        TensorSpec("ranged", (1, 64), "int8", (-3.0, 9.5)),
        TensorSpec("mask", (1, 64), "bool"),
        TensorSpec("real", (1, 64)),
    )
    nodes = [helper.make_node("Identity", [spec.name], [f"{spec.name}_out"]) for spec in inputs]
    outputs = tuple(TensorSpec(f"{spec.name}_out", spec.shape, spec.dtype) for spec in inputs)
    path = write_plain(tmp_path / "many.edge", model(nodes, [*inputs], [*outputs]), inputs, outputs)
    with open_bundle(path) as bundle:
        made = example_inputs(bundle, "main")
    for spec in inputs:
        assert made[spec.name].shape == spec.shape and made[spec.name].dtype == spec.dtype
        assert len(np.unique(made[spec.name])) > 1
    assert set(np.unique(made["tokens"])) == {0, 1}
    assert made["ranged"].min() >= -3 and made["ranged"].max() == 9


@pytest.mark.parametrize(
    "figures", [{"seconds": math.nan}, {"seconds": math.inf}, {"seconds": 0.0}, {"runs": 0}]
)
def test_a_protocol_that_measures_nothing(figures: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be measured"):
        Protocol(**figures)


def test_machine_code_without_weights(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "native.edge", arch=HERE, kind="host", library=b"machine code")
    with pytest.raises(BundleError, match="names no weights"):
        load(path, trust=True)
