"""``targets``, ``cache`` and ``doctor``."""

from __future__ import annotations

import os
import re
import time
import tomllib
from pathlib import Path

import pytest

from edgepress.build.cache import StepCache
from edgepress.bundle import verified
from edgepress.cli import doctor
from tests.cli.conftest import Command


def test_targets(edgepress: Command) -> None:
    listed = edgepress("targets").out
    assert "rpi4" in listed and "host" in listed
    assert {"rpi4", "host"} <= {board["name"] for board in edgepress("targets", "--json").data}
    assert "cortex-a72" in edgepress("targets", "rpi4").out
    assert edgepress("targets", "rpi4", "--json").data["cpu"]["model"] == "cortex-a72"


def test_an_unknown_board_names_near_ones(edgepress: Command) -> None:
    ended = edgepress("targets", "rpi44")
    assert ended.code == 5
    assert "rpi4" in ended.err


def test_doctor(edgepress: Command) -> None:
    pieces = {piece["name"]: piece for piece in edgepress("doctor", "--json").data["pieces"]}
    assert pieces["numpy"]["found"]
    assert "qemu-aarch64-static" in pieces
    assert "extra build" in edgepress("doctor").out


def test_doctor_says_what_a_missing_piece_would_enable(
    edgepress: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepress.cli.doctor._version", lambda name: None)
    monkeypatch.setenv("PATH", "")
    ended = edgepress("doctor")
    assert ended.code == 0
    assert "would enable" in ended.out
    assert "pip install 'edgepress[build]'" in ended.out


def fill(size: int, name: str) -> Path:
    """A finished step of ``size`` bytes."""

    def work(folder: Path) -> None:
        (folder / "file").write_bytes(bytes(size))

    return StepCache.default().make("export", name, work)


def test_cache(edgepress: Command, own_cache: Path) -> None:
    fill(3000, "one")
    data = edgepress("cache", "--json").data
    assert data["folder"] == str(own_cache)
    assert 3000 <= data["bytes"]["steps"] < 4000  # with the list of what the step holds
    assert str(own_cache) in edgepress("cache").out


def test_clean(edgepress: Command, own_cache: Path) -> None:
    old, new = fill(10, "old"), fill(10, "new")
    os.utime(old, (time.time() - 10 * 86400,) * 2)
    verified.trust("a" * 64)
    (own_cache / "mine.txt").write_text("not edgepress's")
    assert "removed 1 entries" in edgepress("cache", "clean", "--older-than", 5).out
    assert not old.exists() and new.exists()
    edgepress("cache", "clean")
    assert not new.exists()
    assert verified.trusted("a" * 64)
    assert (own_cache / "mine.txt").exists()


def test_clean_follows_no_link_and_leaves_running_builds(
    edgepress: Command, own_cache: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    folder = own_cache / "steps" / "export"
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    running = folder / f".key.{os.getpid()}"
    running.mkdir()
    edgepress("cache", "clean")
    assert (outside / "kept").exists()
    assert not (folder / "link").exists()
    assert running.exists()


def test_clean_waits_for_no_build(edgepress: Command, own_cache: Path) -> None:
    kept = fill(10, "kept")
    with StepCache.default().building():
        ended = edgepress("cache", "clean")
    assert ended.code == 2 and "a build is running" in ended.err
    assert kept.exists()
    assert edgepress("cache", "clean").code == 0
    assert not kept.exists()


@pytest.mark.parametrize("days", ["nan", "inf", "-1"])
def test_clean_takes_only_an_age(edgepress: Command, own_cache: Path, days: str) -> None:
    kept = fill(10, "kept")
    assert edgepress("cache", "clean", "--older-than", days).code == 2
    assert kept.exists()


def test_doctor_without_a_home(edgepress: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRESS_CACHE", "~no-such-user/cache")
    ended = edgepress("doctor")
    assert ended.code == 0 and "no such user has a home" in ended.out
    assert edgepress("cache").code == 11


def test_an_empty_cache(edgepress: Command) -> None:
    assert edgepress("cache").code == 0
    assert "removed 0 entries" in edgepress("cache", "clean").out


def test_doctor_knows_what_the_package_asks_for() -> None:
    """What doctor looks for is what the extras bring; of base and build, nothing is left out."""
    root = Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}

    def plain(name: str) -> str:
        return re.split(r"[^A-Za-z0-9_\-]", name)[0].replace("_", "-").lower()

    for extra, names in doctor._PACKAGES.items():
        assert {plain(name) for name in names} <= {plain(name) for name in asked[extra]}, extra
    assert {plain(name) for name in doctor._PACKAGES["build"]} == {plain(name) for name in asked["build"]}
    assert len(doctor._PACKAGES[""]) == len(asked[""])
