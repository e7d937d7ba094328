"""The examples of a folder and, where it tells, the class that each belongs to.

Labels come from a CSV file (``file,label``), from the names of sub-folders, or from a number at the beginning
of every file's name (``NNN_…``: the class index). A label is a class's name or its index.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepress.errors import DataError
from edgepress.records import near

# By kind of input: which files of a folder are examples.
SUFFIXES = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"),
    "audio": (".wav",),
    "array": (".npy",),
    "text": (".txt",),
}
_NUMBERED = re.compile(r"(\d{1,9})_")
_LARGEST_CSV = 64 << 20


@dataclass(frozen=True)
class LabelledFiles:
    """Files with their classes.

    Attributes:
        files: sorted by path, or in the order of the CSV file.
        classes: one index a file, or empty where the folder tells none.
        origin: how the labels were found, in words; empty where there are none.
    """

    files: tuple[Path, ...]
    classes: tuple[int, ...] = ()
    origin: str = ""

    def spread(self, count: int | None) -> LabelledFiles:
        """At most ``count`` of the files, evenly spread, so that every folder has its share."""
        if count is None or count >= len(self.files):
            return self
        kept = [index * len(self.files) // count for index in range(count)]
        classes = tuple(self.classes[index] for index in kept) if self.classes else ()
        return LabelledFiles(tuple(self.files[index] for index in kept), classes, self.origin)


def sub_folders(folder: Path) -> tuple[str, ...]:
    """The names of a folder's sub-folders in order, hidden ones left out."""
    return tuple(
        sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    )


def find_labelled(
    folder: Path, kind: str, names: Sequence[str], count: int, table: Path | None = None
) -> LabelledFiles:
    """Find a folder's examples and their classes.

    Args:
        folder: looked through with everything below it; hidden files are left out.
        kind: the kind of input, a key of :data:`SUFFIXES`.
        names: the classes' names, may be empty.
        count: how many classes there are; 0 where the model gives no class scores: then no label is sought.
        table: a CSV file with a line ``file,label`` for each example, files counting from ``folder``.

    Raises:
        DataError: the folder or the table is missing, holds no example, or names no class of the model.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one that holds {', '.join(SUFFIXES[kind])} files")
    classes = _Classes(names, count)
    if table is not None:
        return _from_table(folder, table, classes)
    files = tuple(
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES[kind] and not path.name.startswith(".") and path.is_file()
    )
    if not files:
        raise DataError(f"{folder} holds no {', '.join(SUFFIXES[kind])} files; give a folder that does")
    if not count:
        return LabelledFiles(files)
    return _by_folder(folder, files, classes) or _by_number(files, count) or LabelledFiles(files)


class _Classes:
    """Finds a class by its name or its index."""

    def __init__(self, names: Sequence[str], count: int) -> None:
        self.count = count
        self._indices: dict[str, list[int]] = {}
        for index, name in enumerate(names[:count]):
            self._indices.setdefault(_plain(name), []).append(index)

    def find(self, label: str) -> int | None:
        """The index, or None where no class is called that.

        Raises:
            DataError: several classes have that name.
        """
        found = self._indices.get(_plain(label))
        if found is not None and len(found) > 1:
            raise DataError(f"the label {label!r} names the classes {found}; use the index instead")
        if found is not None:
            return found[0]
        text = label.strip()
        if text.isascii() and text.isdigit() and len(text) < 10 and int(text) < self.count:
            return int(text)
        return None

    def known(self, label: str, where: str) -> int:
        """The index.

        Raises:
            DataError: no class, or several, are called that.
        """
        found = self.find(label)
        if found is None:
            guess = (
                near(_plain(label), self._indices) or f"; give a name, or an index from 0 to {self.count - 1}"
            )
            raise DataError(f"{where}: the model has no class {label[:80]!r}{guess}")
        return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()


def _by_folder(folder: Path, files: Sequence[Path], classes: _Classes) -> LabelledFiles | None:
    """None where no sub-folder is called like a class; where some are, all must be."""
    names = sorted({path.parent.name for path in files if path.parent != folder})
    if (
        not names
        or any(path.parent == folder for path in files)
        or all(classes.find(name) is None for name in names)
    ):
        return None
    indices = {name: classes.known(name, f"the folder {folder / name}") for name in names}
    return LabelledFiles(
        tuple(files), tuple(indices[path.parent.name] for path in files), "names of sub-folders"
    )


def _by_number(files: Sequence[Path], count: int) -> LabelledFiles | None:
    numbers = [_NUMBERED.match(path.name) for path in files]
    classes = tuple(int(number[1]) for number in numbers if number)
    if len(classes) < len(files) or max(classes) >= count:
        return None
    return LabelledFiles(tuple(files), classes, "numbers at the beginning of file names")


def _from_table(folder: Path, table: Path, classes: _Classes) -> LabelledFiles:
    if not classes.count:
        raise DataError(f"{table} gives labels, but the model gives no class scores; leave --labels out")
    try:
        if table.stat().st_size > _LARGEST_CSV:
            raise DataError(f"{table} is larger than 64 MiB; give a smaller table")
        rows = list(csv.reader(table.read_text(encoding="utf-8-sig").splitlines()))
    except FileNotFoundError:
        raise DataError(f"{table} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{table} is no CSV file ({error}); write a line file,label for each example"
        ) from None
    if rows and [cell.strip().lower() for cell in rows[0]] == ["file", "label"]:
        rows = rows[1:]
    files, indices = [], []
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != 2:
            raise DataError(f"{table}, row {number}: there are {len(row)} cells; write file,label")
        files.append(folder / row[0].strip())
        indices.append(classes.known(row[1].strip(), f"{table}, row {number}"))
    if not files:
        raise DataError(f"{table} names no file; write a line file,label for each example")
    return LabelledFiles(tuple(files), tuple(indices), f"the table {table.name}")
