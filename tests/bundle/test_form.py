"""The form of the file: aligned, stored, listed, reproducible, as its schema says."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import edgepress.bundle
from edgepress.bundle import Bundle, open_bundle, verified, write_bundle
from edgepress.bundle.manifest import FORMAT, VERSION
from edgepress.bundle.writer import ALIGNMENT, remove_partials, safe_member_name
from edgepress.errors import BundleError, StorageError
from tests.bundles import write_tiny

SCHEMA = json.loads((Path(edgepress.bundle.__file__).parent / "manifest.schema.json").read_text())


def test_members_are_stored_and_aligned(tiny_bundle: Path) -> None:
    with zipfile.ZipFile(tiny_bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        listed = json.loads(archive.read("manifest.json"))["members"]
        assert set(archive.namelist()) == {"manifest.json", *listed}
        data = tiny_bundle.read_bytes()
        for entry in archive.infolist():
            content = archive.read(entry.filename)
            at = data.index(content, entry.header_offset)
            assert at % ALIGNMENT == 0
    with open_bundle(tiny_bundle) as bundle:
        weights = np.frombuffer(bundle.member("main/weights.bin"), np.uint8)
        assert weights.ctypes.data % ALIGNMENT == 0


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    one = write_tiny(tmp_path / "one.edge").read_bytes()
    assert one == write_tiny(tmp_path / "two.edge").read_bytes()
    assert str(tmp_path).encode() not in one


@pytest.mark.parametrize("library", [b"", b"code"])
@pytest.mark.parametrize("parts", [("main",), ("encoder", "decoder")])
def test_a_written_manifest_fits_the_schema(tmp_path: Path, library: bytes, parts: tuple[str, ...]) -> None:
    path = write_tiny(tmp_path / "tiny.edge", library=library, parts=parts)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    validator.validate(manifest)
    for spoilt in (
        {**manifest, "version": 2},
        {**manifest, "stray": 1},
        {k: v for k, v in manifest.items() if k != "parts"},
    ):
        assert not validator.is_valid(spoilt)


def test_the_schema_knows_every_field() -> None:
    """The schema's keys are the records' fields, record by record."""
    import dataclasses

    from edgepress.bundle import manifest as records
    from edgepress.inputs import ArrayInput, AudioInput, ImageInput, TextInput
    from edgepress.outputs import ScoresOutput
    from edgepress.tensor import TensorSpec

    named = {
        "member": records.Member, "stored": records.StoredTensor, "graph": records.Graph,
        "engine": records.EngineFiles,
        "golden": records.Golden, "part": records.Part, "check": records.Check, "tensor": TensorSpec,
        "image": ImageInput, "audio": AudioInput, "array": ArrayInput, "text": TextInput,
        "scores": ScoresOutput,
    }  # fmt: skip
    for name, record in named.items():
        assert set(SCHEMA["$defs"][name]["properties"]) == {
            field.name for field in dataclasses.fields(record)
        }, name
    assert set(SCHEMA["properties"]) == {field.name for field in dataclasses.fields(records.Manifest)}
    assert SCHEMA["properties"]["version"] == {"const": VERSION}
    assert SCHEMA["properties"]["format"] == {"const": FORMAT}


def test_opening_verifies_once_for_each_state_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "tiny.edge")
    calls: list[Bundle] = []

    def count(bundle: Bundle) -> None:
        calls.append(bundle)

    monkeypatch.setattr(Bundle, "verify", count)
    for _ in range(3):
        open_bundle(path).close()
    assert len(calls) == 1
    path.write_bytes(path.read_bytes())
    open_bundle(path).close()
    assert len(calls) == 2


def test_trust_is_remembered_by_identity(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        assert not verified.trusted(bundle.identity)
        verified.trust(bundle.identity)
        assert verified.trusted(bundle.identity)


def test_a_cache_that_cannot_be_written_does_not_matter(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "file"))
    open_bundle(tiny_bundle).close()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "/x",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a\\b",
        "a b",
        "C:x",
        "a" * 256,
        "a/./b",
        "a\nb",
        "ü",
    ],
)
def test_names_that_would_leave_are_refused(tmp_path: Path, tiny_bundle: Path, name: str) -> None:
    assert not safe_member_name(name)
    with open_bundle(tiny_bundle) as bundle, pytest.raises(BundleError):
        write_bundle(tmp_path / "x.edge", bundle.manifest, {name: b""})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tiny(tmp_path / "tiny.edge")
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_tiny(path, seed=1)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.edge"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.edge")
    (tmp_path / ".tiny.edge.999999999.partial").write_bytes(b"half")
    remove_partials(path)
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.edge"]
