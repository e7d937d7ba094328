"""Codecs by their names: built once, known again by their streams."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from edgepress import build, zoo
from edgepress.codecs import codec_names, find_codec
from edgepress.errors import MissingExtraError, UsageError
from tests.cli.conftest import Command
from tests.codecs.made import described, write_codec
from tests.codecs.test_files import save
from tests.codecs.test_session import photograph

NAME = "blocks-f4c4"


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A codec in the zoo, and what was built: building writes a small codec's bundle."""
    built: list[str] = []

    def entry() -> zoo.ZooEntry:
        return zoo.ZooEntry(
            NAME, module=lambda: None, digest=lambda: "weights", inputs=(), prepare={}, outputs=(), labels=None,
            about="", codec=lambda: None,
        )  # fmt: skip

    def write(recipe: Any, listener: Any = None) -> None:
        built.append(recipe.model)
        write_codec(Path(recipe.output), described())

    monkeypatch.setitem(zoo._ENTRIES, NAME, entry)
    monkeypatch.setattr(build, "build", write)
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))
    return built


def test_a_name_is_built_once_and_its_streams_are_known(
    edgepress: Command, tmp_path: Path, builds: list[str]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    path = save(pictures / "a.png", photograph(9, 9))
    for _ in range(2):
        assert edgepress("encode", path, "--codec", NAME, "--force").code == 0
    assert builds == [NAME]
    done = edgepress("decode", pictures / "a.epc", "-o", pictures / "b.png", "--json")
    assert done.code == 0 and done.data["results"][0]["codec"] == "blocks"
    assert builds == [NAME]
    assert edgepress("cache", "--json").data["bytes"]["codecs"] > 1000
    assert edgepress("cache", "clean").code == 0
    unknown = edgepress("decode", pictures / "a.epc", "-o", pictures / "c.png")
    assert unknown.code == 2 and "does not know" in unknown.err
    assert sorted(os.listdir(pictures)) == ["a.epc", "a.png", "b.png"]


def test_without_torch_a_name_must_have_been_built(
    builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=f"edgepress build {NAME} on another computer"):
        find_codec(NAME)
    assert builds == []


def test_a_name_that_is_nearly_one(builds: list[str]) -> None:
    assert NAME in codec_names()
    with pytest.raises(UsageError, match=f"did you mean '{NAME}'"):
        find_codec("blocks-f4c5")
    assert find_codec("anything.edge") == Path("anything.edge")


def test_a_damaged_bundle_in_the_cache_is_built_again(
    edgepress: Command, tmp_path: Path, builds: list[str]
) -> None:
    find_codec(NAME).write_bytes(b"damaged")
    assert builds == [NAME]
    path = save(tmp_path / "a.png", photograph(9, 9))
    assert edgepress("encode", path, "--codec", NAME).code == 0
    assert builds == [NAME, NAME]
