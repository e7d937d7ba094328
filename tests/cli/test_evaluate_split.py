"""``edgepress evaluate split``."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from tests.bundles import picture, write_tiny
from tests.cli.conftest import Command
from tests.splits import write_split


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("made")
    write_split(folder / "halves.edge", parts=("device", "server"))
    write_split(folder / "cr.edge", parts=("device", "server"), seed=1)
    write_tiny(folder / "teacher.edge")
    (folder / "data").mkdir()
    for index in range(6):
        picture(folder / "data" / f"{index % 2:03}_{index}.png", index)
    (folder / "data" / "009_bad.png").write_bytes(b"no picture")
    return folder


def words(made: Path, *more: object) -> list[object]:
    return [
        "evaluate", "split", made / "halves.edge", "--data", made / "data", "--teacher", made / "teacher.edge", *more
    ]  # fmt: skip


def test_on_pictures(edgepress: Command, made: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "curves.svg"
    more = ["--against", f"webp,{made / 'cr.edge'},device", "--links", "", "--at", "0.2"]
    ended = edgepress(*words(made, *more, "--json", "--plot", drawing))
    assert ended.code == 0, ended.err
    data = ended.data
    assert (data["sender"], data["pictures"], data.get("latencies")) == ("halves", 6, None)
    assert [curve["sender"] for curve in data["curves"]] == ["halves", "webp", "cr", "device"]
    assert {one["other"] for one in data["comparisons"]} == {"webp", "cr"}
    assert all(point["bytes"]["origin"] == "measured" for point in data["curves"][0]["points"])
    assert "halves" in drawing.read_text() and xml.parse(drawing).getroot().tag.endswith("svg")

    text = edgepress(*words(made, *more)).out
    assert "halves  6 pictures: all 7 of the folder; halves, cr do not say what was trained on" in text
    assert "bytes at equal agreement:" in text and data["comparisons"][0]["verdict"] in text
    assert "1 files could not be used:" in text and "over links" not in text


def test_over_links(edgepress: Command, made: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "curves.svg"
    ended = edgepress(
        *words(
            made, "--against", "jpeg", "--links", "100kbit,10mbit", "--delay", "10ms", "--runs", 2,
            "--device-ms", 40, "--plot", drawing,
        )
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "over links with a round trip of 10 ms; medians of 2 runs" in ended.out
    assert "device times marked * are not measured here" in ended.out
    assert "0.1 Mbit/s  10 Mbit/s" in ended.out and "halves is, beside jpeg, " in ended.out
    assert "End to end, round trip 10 ms" in drawing.read_text() and "beside jpeg" in drawing.read_text()


def test_bad_words_are_refused_before_any_work(edgepress: Command, made: Path) -> None:
    for more, code, said in (
        (["--plot", "a.png"], 2, "a.png is no name for a drawing"),
        (["--links", "1mbit,fast"], 2, "'fast' is no rate of a link"),
        (["--delay", "20"], 2, "'20' is no delay"),
        (["--against", "vvc"], 2, "there is no 'vvc'"),
        (["--device-ms", "devcie=3"], 2, "did you mean 'device'"),
        (["--at", "1.5"], 2, "--at"),
        (["--keep", made / "nothing.txt"], 4, "nothing.txt does not exist"),
    ):
        ended = edgepress(*words(made, *more))
        assert (ended.code, ended.out) == (code, ""), ended
        assert said in ended.err
