"""``edgepress verify``: the archive around the members, and engines that cannot run here."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgepress.bundle import EngineFiles, open_bundle, write_bundle
from edgepress.bundle.archive import check_archive
from edgepress.errors import BundleError
from tests.bundles import write_tiny
from tests.cli.conftest import Command


def test_the_archive_is_what_the_writer_makes(edgepress: Command, tiny_bundle: Path) -> None:
    data = edgepress("verify", tiny_bundle, "--json").data
    assert data["bytes"] == tiny_bundle.stat().st_size
    with open_bundle(tiny_bundle) as bundle:
        check_archive(bundle)


def test_no_byte_can_be_flipped_unseen(tmp_path: Path) -> None:
    """Every byte of the directory and of every header, and some of each member's."""
    path = write_tiny(tmp_path / "tiny.edge")
    whole = path.read_bytes()
    with open_bundle(path) as bundle:
        members = sorted(bundle._places.values())
    inside = {place for start, length in members for place in range(start + 3, start + length - 3)}
    for place in sorted(set(range(len(whole))) - inside):
        content = bytearray(whole)
        content[place] ^= 1
        path.write_bytes(content)
        with pytest.raises(BundleError), open_bundle(path, verify=True) as bundle:
            check_archive(bundle)


@pytest.mark.parametrize("word", ["before", "after"])
def test_nothing_may_be_added(edgepress: Command, tmp_path: Path, word: str) -> None:
    path = write_tiny(tmp_path / "tiny.edge")
    content = path.read_bytes()
    path.write_bytes(b"more" + content if word == "before" else content + b"more")
    assert edgepress("verify", path).code == 8


def test_members_in_another_order(edgepress: Command, tmp_path: Path) -> None:
    import zipfile

    path = write_tiny(tmp_path / "tiny.edge")
    other = tmp_path / "other.edge"
    with zipfile.ZipFile(path) as one, zipfile.ZipFile(other, "w") as two:
        for name in sorted(one.namelist(), reverse=True):
            two.writestr(zipfile.ZipInfo(name), one.read(name))
    assert open_bundle(other, verify=True).manifest.name == "tiny"  # a reader need not mind
    ended = edgepress("verify", other)
    assert ended.code == 8 and "not as edgepress writes it" in ended.err


def test_machine_code_of_another_board_is_named(edgepress: Command, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "other.edge", arch="riscv64", library=b"machine code")
    ended = edgepress("verify", path, "--trust")
    assert ended.code == 0
    assert "not run: main, aot: this machine is not the target" in ended.out
    data = edgepress("verify", path, "--json").data
    assert "riscv64" in data["not_run"]["main"]["aot"]
    assert {row["engine"] for row in data["golden"]} == {"portable", "ort"}


def test_an_engine_that_nothing_here_can_load(edgepress: Command, tmp_path: Path, photograph: Path) -> None:
    tiny = write_tiny(tmp_path / "tiny.edge", arch="riscv64")
    path = tmp_path / "archive.edge"
    with open_bundle(tiny) as bundle:
        part = bundle.manifest.parts["main"]
        engines = {**part.engines, "aot": EngineFiles(files={"archive": "main/aot/lib.a"})}
        manifest = dataclasses.replace(
            bundle.manifest, parts={"main": dataclasses.replace(part, engines=engines, engine="aot")}
        )
        members = {name: bytes(bundle.member(name)) for name in bundle.manifest.members}
        write_bundle(path, manifest, {**members, "main/aot/lib.a": b"code"})
    assert "no library" in edgepress("verify", path, "--json").data["not_run"]["main"]["aot"]
    ended = edgepress("run", path, photograph, "--engine", "aot")
    assert ended.code == 5 and "no library" in ended.err
    assert edgepress("run", path, photograph, "--json").data["engine"] == "portable"
