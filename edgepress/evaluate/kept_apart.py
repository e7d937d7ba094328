"""Which pictures of a folder may be measured on: those that a student was not trained on.

A bundle that knows says so in its manifest, anywhere in what stands there of its method or its source:

    kept_apart   names of the files that were kept apart from training
    trained_on   names of the files that it was trained on (with it, files of neither list are known to be new)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.bundle import Manifest
from edgepress.errors import DataError, UsageError
from edgepress.inputs import read_value
from edgepress.inputs.labelled import LabelledFiles
from edgepress.records import near

APART, TRAINED = "kept_apart", "trained_on"
_DEEPEST = 4


@dataclass(frozen=True)
class TrainingRecord:
    """What a bundle says of the data behind it; names of files without their folders.

    Attributes:
        name: of the bundle, for messages.
        apart, trained: empty where it does not say.
    """

    name: str
    apart: frozenset[str] = frozenset()
    trained: frozenset[str] = frozenset()

    @property
    def says(self) -> bool:
        """Whether anything is known."""
        return bool(self.apart or self.trained)

    def met(self, names: Sequence[str]) -> set[str]:
        """Which of the files of one folder it was trained on, as far as is known.

        Without a list of these, a folder that holds some of those kept apart is taken for the one that they were kept
        apart from.
        """
        if self.trained:
            return (set(names) & self.trained) - self.apart
        return set(names) - self.apart if self.apart & set(names) else set()


def training_record(manifest: Manifest, name: str) -> TrainingRecord:
    """What a bundle says of its training."""
    lists = {key: _find((manifest.method, manifest.source), key, _DEEPEST) for key in (APART, TRAINED)}
    return TrainingRecord(name, lists[APART], lists[TRAINED])


def kept_apart(
    found: LabelledFiles, keep: Path | None, records: Sequence[TrainingRecord]
) -> tuple[LabelledFiles, str]:
    """The files to measure on, and in words which they are.

    Args:
        found: all files of the folder.
        keep: a file with the name of one picture a line; None takes all that no bundle was trained on.
        records: of the bundles that are measured.

    Raises:
        UsageError: ``keep`` names a picture that a bundle was trained on.
        DataError: it names one that is not there or cannot be read, or no picture is left.
    """
    names = [path.name for path in found.files]
    trained = {name: record.name for record in records for name in sorted(record.met(names))}
    if keep is not None:
        wanted = _listed(keep, names)
        if guilty := [name for name in names if name in wanted and name in trained]:
            raise UsageError(
                f"{trained[guilty[0]]} was trained on {len(guilty)} of the pictures of {keep}, such as {guilty[0]}; "
                "take them out of the list"
            )
        chosen = _only(found, wanted)
        about = f"the {len(chosen.files)} of {keep.name}, of {len(names)} in the folder"
    elif trained:
        chosen = _only(found, set(names) - set(trained))
        if not chosen.files:
            raise DataError(
                f"{next(iter(trained.values()))} was trained on every picture of the folder; give others"
            )
        about = f"the {len(chosen.files)} of {len(names)} that were kept apart from training"
    else:
        chosen, about = found, f"all {len(names)} of the folder"
    silent = [record.name for record in records if not record.says]
    if silent:
        about += f"; {', '.join(silent)} {'do' if len(silent) > 1 else 'does'} not say what was trained on"
    return chosen, about


def _only(found: LabelledFiles, names: set[str]) -> LabelledFiles:
    kept = [index for index, path in enumerate(found.files) if path.name in names]
    classes = tuple(found.classes[index] for index in kept) if found.classes else ()
    return LabelledFiles(tuple(found.files[index] for index in kept), classes, found.origin)


def _listed(keep: Path, names: Sequence[str]) -> set[str]:
    data, _ = read_value(keep)
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise DataError(f"{keep} is no text; write the name of one picture a line") from None
    wanted = {Path(line).name for line in lines if line and not line.startswith("#")}
    if missing := sorted(wanted - set(names)):
        raise DataError(
            f"{keep} names {missing[0][:80]!r}{near(missing[0], names)}, which is not in the folder; check the list"
        )
    if not wanted:
        raise DataError(f"{keep} names no picture; write the name of one a line")
    return wanted


def _find(value: Any, key: str, depth: int) -> frozenset[str]:
    """The names under a key, wherever it stands; what is no list of names is none."""
    if isinstance(value, Mapping):
        found = value.get(key)
        if isinstance(found, list):
            return frozenset(Path(name).name for name in found if isinstance(name, str) and name)
        value = list(value.values())
    if depth and isinstance(value, (list, tuple)):
        return frozenset().union(*(_find(each, key, depth - 1) for each in value))
    return frozenset()
