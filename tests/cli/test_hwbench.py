"""``edgepress hwbench``."""

from __future__ import annotations

import pytest

from edgepress.hardware import hwbench
from tests.cli.conftest import Command


def test_hwbench(edgepress: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwbench, "_SECONDS", 0.002)
    monkeypatch.setattr(hwbench, "_TRIALS", 2)
    monkeypatch.setattr(hwbench, "_BUFFER", 1 << 20)
    ended = edgepress("hwbench", "--threads", "1")
    assert ended.code == 0
    assert "GFLOP/s" in ended.out and "GB/s" in ended.out
    monkeypatch.setattr(hwbench, "measure_peaks", None)  # not called again
    data = edgepress("hwbench", "--kept", "--json").data
    assert data["origin"] == "measured"
    assert [peak["threads"] for peak in data["peaks"]] == [1]
