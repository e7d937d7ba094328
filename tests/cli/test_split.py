"""``edgepress split``: figures with origins, a picture, and bad input in a sentence."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgepress.measurement import ORIGINS
from tests.cli.conftest import Command
from tests.cutting.networks import diamond


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("split") / "diamond.onnx"
    onnx.save(diamond(), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPRESS_CACHE", str(path.parent / "cache"))
        yield path


def figures(data: Any) -> Iterator[dict[str, Any]]:
    """Every figure in a tree of JSON."""
    if isinstance(data, dict):
        if "unit" in data:
            yield data
        for value in data.values():
            yield from figures(value)
    elif isinstance(data, list):
        for value in data:
            yield from figures(value)


def test_the_text_has_a_table_a_verdict_and_origins(edgepress: Command, model: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    ended = edgepress("split", model, "--target", "rpi4", "--link", "5mbit,20ms", "--plot", plot)
    assert ended.code == 0, ended.err
    for words in ("behind silu", "16x8x8", "all-device, fp32", "is fastest with", "roofline"):
        assert words in ended.out
    assert "ONNX Runtime" in ended.out  # the server is this machine, and was measured
    assert xml.parse(plot).getroot().tag.endswith("svg")


def test_every_figure_in_json_has_an_origin(edgepress: Command, model: Path) -> None:
    ended = edgepress(
        "split", model, "--target", "rpi4", "--link", "1mbit", "--server", "x86-64-v3", "--json"
    )
    found = list(figures(ended.data))
    assert len(found) > 50
    assert {figure["origin"] for figure in found} <= set(ORIGINS)
    assert all(figure["how"] for figure in found if figure["unit"] == "ms")
    server = [one["server"] for one in ended.data["options"] if one["kind"] == "all-server"]
    assert {figure["origin"] for figure in server} == {"estimated"}
    assert all(one["device"]["origin"] == "estimated" for one in ended.data["options"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--target", "rpi4", "--link", "fast"), 2, "is no rate"),
        (("--target", "rpi4", "--link", "0mbit,20ms"), 2, "is no link"),
        (("--target", "rpi4", "--link", "5mbit,-1ms"), 2, "is no delay"),
        (("--target", "rpi9", "--link", "5mbit"), 5, "rpi"),
        (("--target", "host", "--link", "5mbit"), 5, "must be a board"),
        (("--target", "rpi4", "--link", "5mbit", "--server", "cloud"), 5, "cloud"),
        (("--target", "rpi4", "--link", "5mbit", "--plot", "plot.png"), 2, ".svg"),
        (("--target", "rpi4", "--link", "5mbit", "--agreement", "2"), 2, "agreement"),
        (("--target", "rpi4", "--link", "5mbit", "--device-bundle", "none.json"), 4, "does not exist"),
        (("--target", "rpi4", "--link", "5mbit", "--device-bundle", "none.edge"), 8, "does not exist"),
        (("--target", "rpi4", "--link", "5mbit", "--data", "/nowhere"), 2, "--image"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    edgepress: Command, model: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    ended = edgepress("split", model, *words)
    assert (ended.code, ended.out) == (code, "")
    assert message in ended.err and len([line for line in ended.err.splitlines() if "error" in line]) == 1


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("none.onnx", None, 3),
        ("bad.onnx", b"rubbish", 3),
        ("bad.edge", b"rubbish", 8),
        ("none.edge", None, 8),
    ],
)
def test_bad_models_are_refused(
    edgepress: Command, model: Path, tmp_path: Path, name: str, content: bytes | None, code: int
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    ended = edgepress("split", tmp_path / name, "--target", "rpi4", "--link", "5mbit")
    assert (ended.code, ended.out) == (code, "")


def test_a_codec_is_split_already(edgepress: Command, model: Path) -> None:
    ended = edgepress("split", "walloc-f8c12", "--target", "rpi4", "--link", "5mbit")
    assert ended.code == 3 and "several networks" in ended.err
