"""A folder of pictures, recordings, texts or arrays as examples: decoded once, kept in a file, read as needed.

The class of an example is what :mod:`edgepress.inputs.labelled` says; where the network's labels are not known,
the sub-folders in the order of their names are the classes 0, 1, 2 …
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgepress.errors import DataError
from edgepress.inputs import ImageInput, InputKind, prepare
from edgepress.inputs.labelled import LabelledFiles, find_labelled, sub_folders
from edgepress.progress import Progress
from edgepress.tensor import TensorSpec
from edgepress.training.augment import PAD, shifted
from edgepress.training.examples import Augment, Batch, Examples

_VALUES, _CLASSES, _FACTS = "values.npy", "classes.npy", "examples.json"


def find_examples(folder: Path, kind: str, names: Sequence[str], classes: int) -> LabelledFiles:
    """The files of a folder, and their classes where it tells them.

    Args:
        kind: of the network's input.
        names: of its classes; may be empty.
        classes: how many there are.

    Raises:
        DataError: there are no such files, or more sub-folders than classes.
    """
    if not names and folder.is_dir():
        names = sub_folders(folder)
        if len(names) > max(classes, 1):
            raise DataError(
                f"{folder} has {len(names)} sub-folders, one a class, and the network scores {classes} classes; "
                "give a network with as many outputs"
            )
    return find_labelled(folder, kind, names, classes)


def decode(
    found: LabelledFiles, kind: InputKind, tensor: TensorSpec, folder: Path, progress: Progress
) -> None:
    """Make every file's tensor and keep them in ``folder``; pictures as bytes, before they are normalised.

    Files that cannot be read are left out and counted.

    Raises:
        DataError: none can be read.
    """
    whole = _whole(kind, tensor)
    shape = (len(found.files), *tensor.shape[1:])
    values = np.lib.format.open_memmap(
        folder / _VALUES, mode="w+", dtype=np.uint8 if whole else tensor.dtype, shape=shape
    )
    kept: list[int] = []
    refusal = ""
    for number, path in enumerate(found.files):
        try:
            made = prepare(kind, path, tensor)[0]
        except DataError as error:
            refusal = refusal or str(error)
            continue
        values[len(kept)] = _bytes(made, whole) if whole else made
        kept.append(number)
        progress(number + 1, len(found.files), "decoding")
    if not kept:
        raise DataError(f"none of the {len(found.files)} files can be read; the first: {refusal}")
    values.flush()
    if found.classes:
        np.save(folder / _CLASSES, np.array([found.classes[number] for number in kept], np.int64))
    facts = {"count": len(kept), "left_out": len(found.files) - len(kept), "labels": found.origin}
    (folder / _FACTS).write_text(json.dumps(facts))


def decoded_examples(
    folder: Path, kind: InputKind, tensor: TensorSpec, name: str, digest: str, augment: str
) -> Examples:
    """What :func:`decode` kept, as examples.

    Args:
        name: of the folder they came from, for people.
        augment: ``none``, ``shift``, or ``shift and mirror``; for pictures only.
    """
    facts = json.loads((folder / _FACTS).read_text())
    values = np.load(folder / _VALUES, mmap_mode="r")
    classes = torch.from_numpy(np.load(folder / _CLASSES)) if (folder / _CLASSES).is_file() else None
    whole = _whole(kind, tensor)

    def take(at: Tensor) -> Batch:
        x = torch.from_numpy(np.array(values[at.numpy()]))
        x = _normalised(x, whole) if whole else x
        return (x,) if classes is None else (x, classes[at])

    change: Augment | None = None
    if whole and augment != "none" and whole.layout == "NCHW":
        pad = max(1, min(PAD, min(tensor.shape[2:]) // 8))

        def change(batch: Batch, generator: torch.Generator) -> Batch:
            return shifted(batch, generator, pad, augment == "shift and mirror")

    origin = f"{facts['count']} files of {name}"
    if facts["left_out"]:
        origin += f" ({facts['left_out']} could not be read)"
    origin += f", classes by {facts['labels']}" if facts["labels"] else ", without classes"
    return Examples(facts["count"], take, change, origin, digest)


def _whole(kind: InputKind, tensor: TensorSpec) -> ImageInput | None:
    """The kind of a picture whose pixels can be kept as bytes."""
    return kind if isinstance(kind, ImageInput) and tensor.dtype == "float32" else None


def _figures(kind: ImageInput, axes: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    places = (-1, 1, 1) if kind.layout == "NCHW" else (-1,)
    shaped = places if axes == 3 else (1, *places)
    return np.asarray(kind.mean, np.float32).reshape(shaped), np.asarray(kind.std, np.float32).reshape(shaped)


def _bytes(made: np.ndarray[Any, Any], kind: ImageInput) -> np.ndarray[Any, Any]:
    mean, std = _figures(kind, made.ndim)
    pixels: np.ndarray[Any, Any] = np.rint(made * std + mean).astype(np.uint8)
    return pixels


def _normalised(x: Tensor, kind: ImageInput) -> Tensor:
    """As :class:`ImageInput` does it, number for number."""
    mean, std = _figures(kind, x.dim())
    return torch.from_numpy((x.numpy().astype(np.float32) - mean) / std)
