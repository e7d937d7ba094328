"""Examples and their classes in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepress.errors import DataError
from edgepress.inputs.labelled import LabelledFiles, find_labelled

NAMES = ["cat", "great white shark", "crane", "crane"]


def touch(folder: Path, *names: str) -> Path:
    """Empty files."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def find(folder: Path, table: Path | None = None, count: int = 4) -> LabelledFiles:
    """What is found for pictures."""
    return find_labelled(folder, "image", NAMES, count, table)


def test_sub_folders_by_name_and_index(tmp_path: Path) -> None:
    found = find(
        touch(tmp_path, "Cat/a.png", "great_white shark/b.JPG", "2/c.png", "2/notes.md", "cat/.hidden.png")
    )
    assert found.classes == (2, 0, 1)  # "2" sorts before "Cat", and "Cat" before "great_white"
    assert found.origin == "names of sub-folders"


def test_a_sub_folder_that_is_no_class(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'cat'"):
        find(touch(tmp_path, "cat/a.png", "cats/b.png"))


def test_sub_folders_that_mean_something_else(tmp_path: Path) -> None:
    assert find(touch(tmp_path, "monday/a.png", "tuesday/b.png")).classes == ()


def test_a_name_of_two_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="use the index"):
        find(touch(tmp_path, "crane/a.png"))


def test_numbers(tmp_path: Path) -> None:
    assert find(touch(tmp_path, "001_a.png", "0_b.png", "sub/3_c.png")).classes == (1, 0, 3)


@pytest.mark.parametrize("other", ["a.png", "20240101_holiday.png", "9_a.png"])
def test_numbers_must_all_be_classes(tmp_path: Path, other: str) -> None:
    assert find(touch(tmp_path, "001_a.png", other)).classes == ()


def test_no_class_scores(tmp_path: Path) -> None:
    assert find(touch(tmp_path, "001_a.png"), count=0).classes == ()


@pytest.mark.parametrize("head", ["", "file,label\n", "\ufefffile,label\n"])
def test_a_table(tmp_path: Path, head: str) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f'{head}b.png,cat\n\n"a,1.png",3\n', encoding="utf-8")
    found = find(tmp_path, table)
    assert found.files == (tmp_path / "b.png", tmp_path / "a,1.png")
    assert found.classes == (0, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a.png,dog\n", "no class 'dog'"),
        (b"a.png,4\n", "0 to 3"),
        (b"a.png,-1\n", "no class"),
        (b"a.png\n", "1 cells"),
        (b"a.png,crane\n", "use the index"),
        (b"", "names no file"),
        (b"\xff\xfe\x00", "no CSV"),
    ],
)
def test_a_wrong_table(tmp_path: Path, content: bytes, says: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(content)
    with pytest.raises(DataError, match=says):
        find(tmp_path, table)


def test_a_missing_table_or_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find(tmp_path, tmp_path / "none.csv")
    with pytest.raises(DataError, match="no folder"):
        find(tmp_path / "none")
    with pytest.raises(DataError, match="holds no"):
        find(touch(tmp_path, "a.txt"))


def test_spread() -> None:
    whole = LabelledFiles(tuple(Path(str(index)) for index in range(10)), tuple(range(10)), "x")
    assert whole.spread(None) == whole.spread(20) == whole
    assert whole.spread(3).classes == (0, 3, 6)
