"""What was measured while choosing is an input of the next build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgepress.build.lock import read_lock, write_lock
from edgepress.errors import UsageError
from tests.build.conftest import PICTURE, Edgepress


def test_a_lock_gives_the_same_bytes_elsewhere(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    arguments = ("build", str(cnn_onnx), *PICTURE, "--on", "local", "-o", "net.edge", "--json")
    first = edgepress(*arguments, EDGEPRESS_CACHE=str(tmp_path / "one"))
    assert first.returncode == 0, first.stderr
    chosen, before = json.loads(first.stdout)["engine"], (tmp_path / "net.edge").read_bytes()
    assert "measured fastest on this machine" in json.loads(first.stdout)["why"]
    lock = tmp_path / "net.edge.lock"
    measured = read_lock(lock)
    assert len(measured) == 2
    again = edgepress(*arguments, EDGEPRESS_CACHE=str(tmp_path / "two"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "net.edge").read_bytes() == before
    # Another measurement, another choice: the lock is what decides.
    other = "ort" if chosen == "aot" else "aot"
    turned = {
        step: {**facts, "ms": {chosen: 2.0, other: 1.0}} if "ms" in facts else facts
        for step, facts in measured.items()
    }
    write_lock(lock, turned)
    third = edgepress(*arguments, EDGEPRESS_CACHE=str(tmp_path / "three"))
    assert json.loads(third.stdout)["engine"] == other
    write_lock(lock, {step: {"seconds": 1} for step in measured})
    spoilt = edgepress(*arguments, EDGEPRESS_CACHE=str(tmp_path / "four"))
    assert spoilt.returncode == 2 and "remove it to measure anew" in spoilt.stderr


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"format": "edgepress-lock"}', '{"format": "edgepress-lock", "measured": [1]}', "[" * 9999],
)
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.lock").write_text(text)
    with pytest.raises(UsageError, match="remove it to measure anew"):
        read_lock(tmp_path / "x.lock")


def test_no_lock_is_fine(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none.lock") == {}
