"""Builds that are killed or stopped: the old bundle or the new one, never half of either; the next one goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgepress.bundle import open_bundle
from tests.build.conftest import NETS, PICTURE, Edgepress

OPTIONS = [*PICTURE, "--target", "rpi4", "--engines", "ort", "-o", "net.edge"]


def start(folder: Path, model: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(NETS.parents[2])}
    command = [sys.executable, "-m", "edgepress", "build", str(model), *OPTIONS]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_line(process: subprocess.Popen[str], word: str) -> str:
    assert process.stderr is not None
    seen = ""
    while word not in seen:
        line = process.stderr.readline()
        assert line, f"ended before {word!r}: {seen}"
        seen += line
    return seen


@pytest.mark.parametrize("after", ["export", "press", "gate"])
def test_killed_and_built_again(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path, after: str) -> None:
    (tmp_path / "net.edge").write_bytes(b"the old bundle")
    process = start(tmp_path, cnn_onnx)
    wait_for_line(process, after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)  # the kernel ends the child with its parent
    content = (tmp_path / "net.edge").read_bytes()
    if content != b"the old bundle":
        open_bundle(tmp_path / "net.edge", verify=True).close()
    again = edgepress("build", str(cnn_onnx), *OPTIONS, "--json")
    assert again.returncode == 0, again.stderr
    assert after in json.loads(again.stdout)["cached"]
    open_bundle(tmp_path / "net.edge", verify=True).close()
    assert [path.name for path in tmp_path.iterdir()] == ["net.edge"]


def test_control_c_says_what_was_kept(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    process = start(tmp_path, cnn_onnx)
    wait_for_line(process, "export")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; kept the finished steps export" in errors
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
    assert "export" in json.loads(edgepress("build", str(cnn_onnx), *OPTIONS, "--json").stdout)["cached"]
