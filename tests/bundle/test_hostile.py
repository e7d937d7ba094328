"""Bundles from outside: every damage gives one BundleError, or no difference at all."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepress.bundle import open_bundle
from edgepress.errors import BundleError
from edgepress.runtimes import load
from tests.bundles import pixels, write_tiny

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def scores(path: Path) -> Any:
    """What the bundle gives for one picture."""
    with load(path) as session:
        return session.run(pixels(3)).outputs["scores"]


def repacked(source: Path, target: Path, change: Callable[[dict[str, bytes]], None], **options: Any) -> Path:
    """The bundle with its members changed, and its manifest as it was unless that is changed too."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", options.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


def remade(source: Path, target: Path, change: Callable[[Any], Any]) -> Path:
    """The bundle with its manifest changed."""

    def apply(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        members["manifest.json"] = json.dumps(change(manifest) or manifest).encode()

    return repacked(source, target, apply)


@QUICK
@given(st.data())
def test_a_flipped_bit_anywhere(tiny_bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "flipped.edge"
    path.write_bytes(content)
    try:
        found = scores(path)
    except BundleError as error:
        assert "\n" not in str(error)
    else:
        assert np.array_equal(found, scores(tiny_bundle))


@QUICK
@given(st.data())
def test_truncated_anywhere(tiny_bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = tiny_bundle.read_bytes()
    path = tmp_path / "short.edge"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(BundleError):
        open_bundle(path)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.edge"
    path.write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@QUICK
@given(st.data())
def test_any_value_anywhere_in_the_manifest(tiny_bundle: Path, tmp_path: Path, data: st.DataObject) -> None:
    """A manifest that decodes to something else either opens and loads, or gives one of our own errors."""
    from edgepress.errors import EdgepressError

    def change(manifest: Any) -> None:
        node = manifest
        while True:
            keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
            key = data.draw(st.sampled_from(keys))
            inner = node[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                what = data.draw(st.sampled_from(["value", "name", "gone"]))
                if what == "value" or isinstance(node, list):
                    node[key] = data.draw(json_values)
                    return
                del node[key]
                if what == "name":
                    node[data.draw(st.text(max_size=8))] = inner
                return
            node = inner

    try:
        scores(remade(tiny_bundle, tmp_path / "changed.edge", change))
    except EdgepressError as error:
        assert "\n" not in str(error)


def test_a_member_that_leaves_its_folder(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("../evil", "/etc/evil", "a/../../evil"):

        def add(members: dict[str, bytes], name: str = name) -> None:
            members[name] = b"x"

        path = repacked(tiny_bundle, tmp_path / "evil.edge", add)
        with pytest.raises(BundleError, match="leave its folder"):
            open_bundle(path)


def test_a_compressed_member(tiny_bundle: Path, tmp_path: Path) -> None:
    path = repacked(tiny_bundle, tmp_path / "x.edge", lambda members: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="compressed"):
        open_bundle(path)


def test_duplicate_members(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.edge"
    path.write_bytes(tiny_bundle.read_bytes())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("main/labels.txt", b"other")
    with pytest.raises(BundleError):
        open_bundle(path)


def test_a_member_too_many_and_one_too_few(tiny_bundle: Path, tmp_path: Path) -> None:
    more = repacked(tiny_bundle, tmp_path / "more.edge", lambda members: members.update(stray=b"x"))
    with pytest.raises(BundleError, match="'stray'"):
        open_bundle(more)

    def remove(members: dict[str, bytes]) -> None:
        del members["main/labels.txt"]

    with pytest.raises(BundleError, match="labels"):
        open_bundle(repacked(tiny_bundle, tmp_path / "fewer.edge", remove))


@pytest.mark.parametrize("offset", [20, 24])  # compressed and plain size in the central directory
def test_a_huge_announced_size(tiny_bundle: Path, tmp_path: Path, offset: int) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<I", content, at + offset, 0xFFFFFFF0)
    path = tmp_path / "huge.edge"
    path.write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(path)


def test_more_members_than_there_may_be(tmp_path: Path) -> None:
    path = tmp_path / "many.edge"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(5000):
            archive.writestr(f"m{index}", b"")
    with pytest.raises(BundleError, match="5000 members"):
        open_bundle(path)


def test_a_zip_that_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"hello")
    with pytest.raises(BundleError, match="no edgepress bundle"):
        open_bundle(path)


def test_a_deeply_nested_manifest(tiny_bundle: Path, tmp_path: Path) -> None:
    def nest(members: dict[str, bytes]) -> None:
        members["manifest.json"] = b"[" * 200_000

    with pytest.raises(BundleError, match="damaged"):
        open_bundle(repacked(tiny_bundle, tmp_path / "deep.edge", nest))


@pytest.mark.parametrize("content", [None, b""])
def test_no_file_and_an_empty_one(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.edge"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError):
        open_bundle(path)


def test_a_newer_version_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    path = remade(tiny_bundle, tmp_path / "x.edge", lambda manifest: {**manifest, "version": 99})
    with pytest.raises(BundleError, match="version 99"):
        open_bundle(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("offset", -1),
        ("offset", 1 << 40),
        ("length", 1 << 40),
        ("shape", [1 << 30, 1 << 30]),
        ("dtype", "object"),
    ],
)
def test_a_tensor_that_lies_elsewhere(tiny_bundle: Path, tmp_path: Path, key: str, value: Any) -> None:
    def change(manifest: Any) -> None:
        for graph in (
            manifest["parts"]["main"]["graph"],
            manifest["parts"]["main"]["engines"]["ort"]["graph"],
        ):
            graph["tensors"][0][key] = value

    path = remade(tiny_bundle, tmp_path / "x.edge", change)
    with pytest.raises(BundleError):
        scores(path)


def test_a_golden_array_with_a_huge_header(tmp_path: Path) -> None:
    from tests.cli.test_bundle_commands import rewritten

    tiny = write_tiny(tmp_path / "tiny.edge")
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4000000000000), }"
    evil = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.ljust(117) + b"\n"
    path = rewritten(tiny, tmp_path / "evil.edge", "golden/main/0/scores.npy", evil)
    with open_bundle(path) as bundle, pytest.raises(BundleError, match="shorter than its header"):
        bundle.golden("main")


def test_an_output_that_the_graph_does_not_give(tiny_bundle: Path, tmp_path: Path) -> None:
    def change(manifest: Any) -> None:
        part = manifest["parts"]["main"]
        part["outputs"][0]["name"] = "scorez"
        part["meaning"] = {"scorez": part["meaning"]["scores"]}

    with pytest.raises(BundleError, match="scorez"):
        scores(remade(tiny_bundle, tmp_path / "x.edge", change))


def test_an_input_that_nothing_says_how_to_make(tiny_bundle: Path, tmp_path: Path) -> None:
    def change(manifest: Any) -> None:
        manifest["parts"]["main"]["prepare"] = {"hmage": {"kind": "array"}}

    with pytest.raises(BundleError, match="does not say how"):
        open_bundle(remade(tiny_bundle, tmp_path / "x.edge", change))


def test_a_manifest_changed_in_place(tiny_bundle: Path, tmp_path: Path) -> None:
    """One digit of the preprocessing would change results silently."""
    content = tiny_bundle.read_bytes().replace(b"127.0", b"126.0", 1)
    path = tmp_path / "x.edge"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checksum"):
        open_bundle(path)
