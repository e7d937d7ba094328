"""``edgepress profile``."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.measurement import ORIGINS
from tests.bundles import write_tiny
from tests.cli.conftest import Command

FIGURES = ["runtime import", "load", "first inference", "peak memory", "memory of the model"]
LATENCIES = ["latency least", "latency p50", "latency p90", "latency p99"]


def test_engines_side_by_side_with_layers(edgepress: Command, tiny_bundle: Path) -> None:
    data = edgepress(
        "profile", tiny_bundle, "--engines", "ort,portable", "--layers", "--threads", 1, "--json"
    ).data
    first, second = data["engines"]
    assert [first["engine"], second["engine"]] == ["ort", "portable"]
    assert data["is_target"] is True
    for engine in (first, second):
        figures = {figure["name"]: figure for figure in engine["figures"]}
        assert list(figures) == FIGURES + LATENCIES
        assert all(figure["origin"] == "measured" and figure["how"] for figure in figures.values())
        assert (
            figures["latency p50"]["value"]
            <= figures["latency p90"]["value"]
            <= figures["latency p99"]["value"]
        )
        assert figures["latency p50"]["how"].startswith("50 runs;")
        assert 0 < figures["memory of the model"]["value"] < figures["peak memory"]["value"]
        assert sum(layer["share"] for layer in engine["layers"]) == pytest.approx(1)
        assert {"Conv", "MatMul"} <= {layer["op"] for layer in engine["layers"]}
    assert second["ratio"]["low"] <= second["ratio"]["value"] <= second["ratio"]["high"]
    assert data["machine"]["cores"] >= 1


def test_another_board(edgepress: Command, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "other.edge", arch="riscv64", library=b"machine code")
    text = edgepress("profile", path, "--threads", 1).out
    assert "these times are this machine's, not the board's" in text
    assert "123,456  (emulated" in text
    data = edgepress("profile", path, "--engines", "all", "--threads", 1, "--json").data
    assert [engine["engine"] for engine in data["engines"]] == ["ort", "portable"]
    assert "riscv64" in data["left_out"]["aot"]
    assert data["is_target"] is False
    assert all(figure["origin"] in ORIGINS for figure in data["figures"])
    emulated = [figure for figure in data["figures"] if figure["origin"] == "emulated"]
    assert [figure["unit"] for figure in emulated] == ["instructions"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--on", "ssh://pi@board"), 2, "'local'"),
        (("--engines", "ort,ort"), 2, "twice"),
        (("--engines", "aot"), 2, "no engine 'aot'"),
        (("--engines", "ort,"), 2, "no engine"),
        (("--runs", "10"), 2, "50"),
        (("--seconds", "0"), 2, "seconds"),
        (("--threads", "0"), 2, "threads"),
    ],
)
def test_wrong_options(
    edgepress: Command, tiny_bundle: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    ended = edgepress("profile", tiny_bundle, *words)
    assert ended.code == code
    assert says in ended.err
