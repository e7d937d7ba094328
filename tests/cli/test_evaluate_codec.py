"""``edgepress evaluate codec``, and which command ``edgepress evaluate`` means."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest
from click.shell_completion import ShellComplete
from PIL import Image

from edgepress.cli.main import cli
from edgepress.evaluate import trial
from tests.bundles import picture
from tests.cli.conftest import Command
from tests.codecs.made import described, write_codec


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run is enough where no time is looked at."""
    monkeypatch.setattr(trial, "_MOST_RUNS", 1)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two pictures and a file that is none."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for index in range(2):
        noise = np.random.default_rng(index).standard_normal((24, 30, 3))
        image = Image.fromarray((noise * 40 + 128).clip(0, 255).astype(np.uint8))
        image.resize((96, 80), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


def test_a_codecs_bundle_beside_others(edgepress: Command, photographs: Path, tmp_path: Path) -> None:
    bundle = write_codec(tmp_path / "blocks.edge", described())
    drawing = tmp_path / "curves.svg"
    words = [
        "evaluate",
        "codec",
        bundle,
        "--data",
        photographs,
        "--against",
        "jpeg, webp",
        "--classifier",
        "none",
    ]
    ended = edgepress(*words, "--json", "--plot", drawing)
    assert ended.code == 0, ended.err
    data = ended.data
    assert (data["codec"], data["pictures"], data["megapixels"]) == ("blocks", 2, 0.01536)
    assert [curve["codec"] for curve in data["curves"]] == ["blocks", "jpeg", "webp"]
    assert [Path(name).name for name in data["unreadable"]] == ["bad.jpg"]
    points = data["curves"][0]["points"]
    assert sorted(point["rate"] for point in points) == [0, 1, 2, 3]
    assert all(point["psnr"]["origin"] == "measured" and point["psnr"]["unit"] == "dB" for point in points)
    assert points[0]["ms_ssim"]["origin"] == "unavailable"
    assert [one["other"] for one in data["comparisons"]] == ["jpeg", "webp"]
    assert all(len(one["rates"]) == 3 and "blocks" in one["verdict"] for one in data["comparisons"])
    assert "jpeg" in drawing.read_text() and xml.parse(drawing).getroot().tag.endswith("svg")

    text = edgepress(*words).out
    assert "blocks  2 pictures" in text and "bundle blocks.edge, engine ort" in text
    assert "BD-rate against" in text and "bits/pixel  PSNR dB" in text
    assert data["comparisons"][0]["verdict"].partition("; it encodes")[0] in text  # speeds are measured anew
    assert "1 files could not be used:" in text and "bad.jpg is no picture" in text


def test_a_codec_of_pillow_alone(edgepress: Command, photographs: Path) -> None:
    ended = edgepress(
        "evaluate", "codec", "webp", "--data", photographs, "--against", "", "--classifier", "none"
    )
    assert ended.code == 0
    assert "BD-rate" not in ended.out and "Pillow" in ended.out
    assert "agreement" in ended.out and "classifier: no classifier was asked for" in ended.out


def test_it_is_not_held_against_itself(edgepress: Command, photographs: Path) -> None:
    words = [
        "--data",
        photographs,
        "--against",
        "jpeg,webp,jpeg",
        "--classifier",
        "none",
        "--limit",
        1,
        "--json",
    ]
    data = edgepress("evaluate", "codec", "webp", *words).data
    assert [curve["codec"] for curve in data["curves"]] == ["webp", "jpeg"]
    assert data["pictures"] == 1


def test_bad_words_are_refused_before_any_work(
    edgepress: Command, photographs: Path, tmp_path: Path, tiny_bundle: Path
) -> None:
    sound = write_codec(tmp_path / "sound.edge", described(1, 2, tile=256))
    for words, code, said in (
        (["jpg"], 2, "no codec 'jpg' (did you mean 'jpeg'?)"),
        (["webp", "--against", "jpeg,vvc"], 2, "no codec 'vvc'"),
        (["webp", "--plot", "a.png"], 2, "a.png is no name for a drawing; give one that ends in .svg"),
        ([tiny_bundle], 2, "holds no codec; edgepress evaluate"),
        ([sound], 2, "sound is no codec of pictures: what it codes has 1 axes"),
        (["webp", "--classifier", "nothing.edge"], 8, "nothing.edge"),
        (["webp", "--classifier", sound], 2, "no classifier of pictures"),
    ):
        ended = edgepress("evaluate", "codec", *words, "--data", photographs)
        assert (ended.code, ended.out) == (code, ""), ended
        assert said in ended.err


def test_a_place_that_cannot_be_written_is_said(edgepress: Command, photographs: Path) -> None:
    ended = edgepress(
        "evaluate", "codec", "webp", "--data", photographs, "--against", "", "--classifier", "none",
        "--plot", photographs / "no" / "where.svg",
    )  # fmt: skip
    assert ended.code == 11
    assert "choose another place with --plot" in ended.err


def test_the_word_bundle_may_be_left_out(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    picture(data / "003_a.png", 0)
    for words in (
        ["evaluate", tiny_bundle, "--data", data, "--json"],
        ["evaluate", "--data", data, "--json", tiny_bundle],
        ["evaluate", "bundle", tiny_bundle, "--data", data, "--json"],
    ):
        assert edgepress(*words).data["examples"] == 1
    for wrong, said in (
        (["evaluate"], "missing argument 'BUNDLE'; see edgepress evaluate bundle --help"),
        (["evaluate", "codec"], "missing argument 'NAME'; see edgepress evaluate codec --help"),
        (["evaluate", tiny_bundle, "--nothing"], "no such option"),
    ):
        ended = edgepress(*wrong)
        assert ended.code == 2 and said in ended.err


def test_the_help_names_both(edgepress: Command) -> None:
    for words in (["evaluate", "--help"], ["evaluate", "-h"]):
        out = edgepress(*words).out
        assert (
            "[bundle] BUNDLE … | codec NAME … | split BUNDLE …" in " ".join(out.split())
            and "Commands:" in out
        )
    assert "--original" in edgepress("evaluate", "bundle", "--help").out


@pytest.mark.parametrize(
    ("words", "begun", "expected"),
    [
        (["evaluate"], "co", {("plain", "codec")}),
        (["evaluate"], "", {("plain", "bundle"), ("plain", "codec"), ("plain", "split")}),
        (["evaluate"], "effi", {("file", "effi")}),
        (["evaluate", "my.edge"], "--orig", {("plain", "--original")}),
        (["evaluate", "codec"], "--agai", {("plain", "--against")}),
    ],
)
def test_completion_knows_that_the_word_may_be_left_out(
    words: list[str], begun: str, expected: set[tuple[str, str]]
) -> None:
    found = ShellComplete(cli, {}, "edgepress", "_EDGEPRESS_COMPLETE").get_completions(words, begun)
    assert {(item.type, item.value) for item in found} == expected
