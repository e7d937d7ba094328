"""Which pictures are measured on: never those that a bundle says it was trained on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from edgepress.bundle import open_bundle
from edgepress.errors import DataError, UsageError
from edgepress.evaluate.kept_apart import TrainingRecord, kept_apart, training_record
from edgepress.inputs.labelled import LabelledFiles
from tests.bundles import write_tiny

FOUND = LabelledFiles(tuple(Path("folder") / f"{n:03}_x.jpg" for n in range(6)), tuple(range(6)), "numbers")
SILENT = TrainingRecord("cr")
KNOWS = TrainingRecord("student", frozenset({"001_x.jpg", "004_x.jpg"}))
LISTS = TrainingRecord("lists", frozenset({"001_x.jpg"}), frozenset({"000_x.jpg", "002_x.jpg"}))


def listed(folder: Path, text: str) -> Path:
    path = folder / "kept.txt"
    path.write_text(text)
    return path


def test_what_was_kept_apart_is_taken_with_its_classes() -> None:
    found, about = kept_apart(FOUND, None, [KNOWS])
    assert [path.name for path in found.files] == ["001_x.jpg", "004_x.jpg"]
    assert found.classes == (1, 4) and found.origin == "numbers"
    assert about == "the 2 of 6 that were kept apart from training"


def test_with_several_bundles_what_all_of_them_kept_apart() -> None:
    found, about = kept_apart(FOUND, None, [KNOWS, LISTS, SILENT])
    assert found.classes == (1, 4)
    assert about.endswith("; cr does not say what was trained on")
    found, _ = kept_apart(FOUND, None, [LISTS])
    assert found.classes == (1, 3, 4, 5)  # with a list of what was trained on, others are new


def test_a_folder_that_no_list_knows_is_taken_whole() -> None:
    other = TrainingRecord("student", frozenset({"z.jpg"}))
    found, about = kept_apart(FOUND, None, [other])
    assert found == FOUND and about == "all 6 of the folder"
    _, about = kept_apart(FOUND, None, [SILENT, TrainingRecord("b")])
    assert about == "all 6 of the folder; cr, b do not say what was trained on"


def test_a_list_says_which(tmp_path: Path) -> None:
    keep = listed(tmp_path, "\ufeff# kept\n004_x.jpg\n\nsub/001_x.jpg\n")
    found, about = kept_apart(FOUND, keep, [KNOWS])
    assert found.classes == (1, 4) and about == "the 2 of kept.txt, of 6 in the folder"
    assert kept_apart(FOUND, listed(tmp_path, "003_x.jpg"), [LISTS])[0].classes == (3,)


def test_a_list_with_what_was_trained_on_is_refused(tmp_path: Path) -> None:
    keep = listed(tmp_path, "001_x.jpg\n002_x.jpg\n003_x.jpg\n")
    with pytest.raises(
        UsageError, match=r"student was trained on 2 of the pictures of .*kept\.txt, such as 002_x"
    ):
        kept_apart(FOUND, keep, [KNOWS])
    with pytest.raises(UsageError, match="lists was trained on 1 of the pictures"):
        kept_apart(FOUND, keep, [LISTS])


def test_lists_that_say_nothing_useful(tmp_path: Path) -> None:
    for text, said in (("001_x.jpeg", "did you mean '001_x.jpg'"), ("# nothing\n", "names no picture")):
        with pytest.raises(DataError, match=said):
            kept_apart(FOUND, listed(tmp_path, text), [])
    (tmp_path / "kept.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="is no text"):
        kept_apart(FOUND, tmp_path / "kept.txt", [])
    with pytest.raises(DataError, match="does not exist"):
        kept_apart(FOUND, tmp_path / "nowhere.txt", [])
    everything = TrainingRecord("all", trained=frozenset(path.name for path in FOUND.files))
    with pytest.raises(DataError, match="all was trained on every picture of the folder"):
        kept_apart(FOUND, None, [everything])


@pytest.mark.parametrize(
    ("method", "held", "trained"),
    [
        ({"name": "x", "training": {"kept_apart": ["a.jpg", "b/c.jpg"]}}, {"a.jpg", "c.jpg"}, set()),
        ({"trained_on": ["d.jpg"], "deep": [{"kept_apart": ["a.jpg"]}]}, {"a.jpg"}, {"d.jpg"}),
        ({"training": {"kept_apart": "a.jpg"}}, set(), set()),
        ({"training": {"kept_apart": [3, None, "", "a.jpg"]}}, {"a.jpg"}, set()),
        ({}, set(), set()),
    ],
)
def test_what_a_manifest_says(
    tmp_path: Path, method: dict[str, Any], held: set[str], trained: set[str]
) -> None:
    with open_bundle(write_tiny(tmp_path / "tiny.edge")) as bundle:
        manifest = dataclasses.replace(bundle.manifest, method=method)
    found = training_record(manifest, "tiny")
    assert (set(found.apart), set(found.trained)) == (held, trained)
    assert found.says == bool(held or trained)
