"""``inspect``, ``verify`` and ``extract``."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgepress.bundle import open_bundle, verified
from tests.bundles import npy, write_tiny
from tests.cli.conftest import Command


def rewritten(source: Path, target: Path, member: str, content: bytes) -> Path:
    """A copy of a bundle with other content in a member, its manifest made to fit."""
    import dataclasses

    from edgepress.bundle import write_bundle

    with open_bundle(source) as bundle:
        members = {name: bytes(bundle.member(name)) for name in bundle.manifest.members}
        members[member] = content
        write_bundle(target, dataclasses.replace(bundle.manifest, members={}), members)
    return target


def test_inspect(edgepress: Command, tiny_bundle: Path) -> None:
    text = edgepress("inspect", tiny_bundle).out
    for word in ("part main", "1x3x16x16", "kind image", "main/weights.bin", "opset 17", "tools"):
        assert word in text


def test_inspect_json_is_the_manifest(edgepress: Command, tiny_bundle: Path) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        assert edgepress("inspect", tiny_bundle, "--json").data == json.loads(archive.read("manifest.json"))


def test_verify(edgepress: Command, tiny_bundle: Path) -> None:
    data = edgepress("verify", tiny_bundle, "--json").data
    assert [(row["engine"], row["passed"]) for row in data["golden"]] == [
        ("portable", True),
        ("portable", True),
        ("ort", True),
        ("ort", True),
    ]
    assert "passed" in edgepress("verify", tiny_bundle).out


def test_verify_sees_another_golden_output(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    wrong = npy(np.zeros((1, 10), np.float32))
    path = rewritten(tiny_bundle, tmp_path / "wrong.edge", "golden/main/1/scores.npy", wrong)
    ended = edgepress("verify", path)
    assert ended.code == 7
    assert "FAILED" in ended.out
    assert "2 of 4 golden outputs differ" in ended.err


def test_verify_sees_a_flipped_byte_even_in_a_known_file(edgepress: Command, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.edge")
    assert edgepress("verify", path).code == 0
    data = bytearray(path.read_bytes())
    data[data.index(b"thing 3")] ^= 1
    path.write_bytes(data)
    ended = edgepress("verify", path)
    assert ended.code == 8
    assert "labels.txt" in ended.err


def test_extract(edgepress: Command, tmp_path: Path, photograph: Path) -> None:
    whole = write_tiny(tmp_path / "two.edge", parts=("encoder", "decoder"))
    output = tmp_path / "out" / "encoder.edge"
    assert edgepress("extract", whole, "--part", "encoder", "-o", output).code == 0
    assert edgepress("verify", output).code == 0
    assert edgepress("run", output, photograph).code == 0
    with open_bundle(output) as bundle:
        assert list(bundle.manifest.parts) == ["encoder"]
        assert not any("decoder" in name for name in bundle.manifest.members)
        assert not verified.trusted(bundle.identity)


def test_extract_keeps_trust(edgepress: Command, tmp_path: Path) -> None:
    whole = write_tiny(tmp_path / "two.edge", parts=("encoder", "decoder"))
    with open_bundle(whole) as bundle:
        verified.trust(bundle.identity)
    edgepress("extract", whole, "--part", "encoder", "-o", tmp_path / "encoder.edge")
    with open_bundle(tmp_path / "encoder.edge") as bundle:
        assert verified.trusted(bundle.identity)


@pytest.mark.parametrize(("part", "output"), [("decodr", "x.edge"), ("encoder", "two.edge")])
def test_extract_refuses(edgepress: Command, tmp_path: Path, part: str, output: str) -> None:
    whole = write_tiny(tmp_path / "two.edge", parts=("encoder", "decoder"))
    before = whole.read_bytes()
    assert edgepress("extract", whole, "--part", part, "-o", tmp_path / output).code == 2
    assert whole.read_bytes() == before


def test_extract_where_nothing_can_be_written(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = edgepress("extract", tiny_bundle, "--part", "main", "-o", tmp_path / "file" / "x.edge")
    assert ended.code == 11
