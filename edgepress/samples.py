"""Examples to calibrate and to check with: the user's own, or pictures that come with installed packages."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.errors import DataError, EdgepressError, MissingExtraError, UsageError
from edgepress.inputs import ImageInput, InputKind, prepare
from edgepress.inputs.labelled import LabelledFiles, find_labelled
from edgepress.tensor import TensorSpec
from edgepress.user_code import sentence

Feed = dict[str, np.ndarray[Any, Any]]

_MOST_BUILT_IN = 65_536

# Photographs inside the scikit-image wheel; drawings and microscope pictures are left out.
_PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg",
    "camera.png", "coins.png", "brick.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "horse.png",
)  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """A list of examples, loaded when they are needed.

    Attributes:
        digest: changes when the examples do.
        origin: what they are, for people.
        count: how many.
        load: gives them, each a mapping from tensor name to array.
        classes: the right class of each, where the examples tell; of each row of its scores, where it has several.
    """

    digest: str
    origin: str
    count: int
    load: Callable[[], list[Feed]]
    classes: tuple[int | list[int], ...] = ()


def from_folder(
    folder: Path,
    inputs: Sequence[TensorSpec],
    kinds: Mapping[str, InputKind],
    count: int,
    half: int = 0,
    names: Sequence[str] = (),
    classes: int = 0,
) -> Samples:
    """Take examples from a folder, evenly spread over its files.

    A model with one input takes files of the input's kind (:mod:`edgepress.inputs.labelled` says how labels are
    found); one with several takes ``.npz`` files that hold an array for each input.

    Args:
        count: how many examples at most.
        half: 0 or 1; the two halves of the files share none. Where there is one file, it serves for both, and
            ``origin`` says so. Files that cannot be read are left out, and counted there.
        names, classes: the classes' names and their number, where the model gives class scores.

    Raises:
        DataError: the folder is missing, or holds no such files, or none of them can be read.
    """
    found = (
        _archives(folder)
        if len(inputs) > 1
        else find_labelled(folder, kinds[inputs[0].name].kind, names, classes)
    )
    found = found.spread(2 * count)
    plain = tuple(dataclasses.replace(tensor, range=None) for tensor in inputs)
    known = tuple((tensor.name, kinds[tensor.name]) for tensor in inputs)
    marks = [_mark(path) for path in found.files]
    refusals = [_refusal(path, mark, plain, known) for path, mark in zip(found.files, marks, strict=True)]
    readable = [index for index, why in enumerate(refusals) if not why]
    if not readable:
        raise DataError(
            f"none of the {len(refusals)} files of {folder} can be read; the first: {refusals[0]}"
        )
    kept = readable[half::2] if len(readable) > 1 else readable
    files = [found.files[index] for index in kept]
    right = tuple(found.classes[index] for index in kept) if found.classes else ()
    digest = hashlib.sha256(repr((inputs, kinds, right)).encode())
    for index in kept:
        digest.update(marks[index])

    def load() -> list[Feed]:
        return [_read(path, inputs, kinds) for path in files]

    origin = f"{len(files)} file{'s' * (len(files) > 1)} of {folder.resolve().name}"
    if len(readable) < len(refusals):
        origin += f", {len(refusals) - len(readable)} could not be read"
    if len(readable) == 1:
        origin += " (the only one: it served to calibrate and to check)"
    return Samples(digest.hexdigest(), origin, len(files), load, right)


def _mark(path: Path) -> bytes:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").digest()
    except OSError:
        return b""


@functools.lru_cache(maxsize=1 << 17)  # both halves ask, in several steps of a build
def _refusal(
    path: Path, mark: bytes, inputs: tuple[TensorSpec, ...], kinds: tuple[tuple[str, InputKind], ...]
) -> str:
    """Why a file gives no example; empty where it gives one. ``mark`` changes when the file does."""
    try:
        _read(path, inputs, dict(kinds))
    except EdgepressError as error:
        return str(error)
    except Exception as error:  # decoders meet damaged bytes with exceptions of any type
        return f"{path} cannot be read ({sentence(error)}); give another file"
    return ""


def _read(path: Path, inputs: Sequence[TensorSpec], kinds: Mapping[str, InputKind]) -> Feed:
    if len(inputs) > 1:
        return _read_npz(path, inputs, kinds)
    return {inputs[0].name: prepare(kinds[inputs[0].name], path, inputs[0])}


def _archives(folder: Path) -> LabelledFiles:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one that holds .npz files")
    files = tuple(sorted(path for path in folder.rglob("*.npz") if path.is_file()))
    if not files:
        raise DataError(
            f"{folder} holds no .npz files; save examples there with numpy.savez, an array for each input"
        )
    return LabelledFiles(files)


def built_in(inputs: Sequence[TensorSpec], kinds: Mapping[str, InputKind], count: int, seed: int) -> Samples:
    """Examples for users who give none: crops of photographs for a picture, seeded noise for anything else.

    Raises:
        MissingExtraError: the package with the photographs is not installed.
        UsageError: there would be too many.
    """
    if not 1 <= count <= _MOST_BUILT_IN:
        raise UsageError(f"{count} samples cannot be made; ask for 1 to {_MOST_BUILT_IN}")
    digest = hashlib.sha256(repr((inputs, kinds, count, seed, _PHOTOGRAPHS)).encode()).hexdigest()
    pictures = len(inputs) == 1 and isinstance(kinds[inputs[0].name], ImageInput)
    if pictures:
        origin = f"{count} crops of photographs that come with scikit-image"

        def load() -> list[Feed]:
            tensor, kind = inputs[0], kinds[inputs[0].name]
            return [{tensor.name: prepare(kind, pixels, tensor)} for pixels in _crops(count, seed)]

    else:
        origin = f"{count} arrays of random numbers (give --data for examples that mean something)"

        def load() -> list[Feed]:
            generator = np.random.default_rng(seed)
            return [{tensor.name: _noise(tensor, generator) for tensor in inputs} for _ in range(count)]

    return Samples(digest, origin, count, load)


def photographs() -> list[Path]:
    """The photographs that come with scikit-image.

    Raises:
        MissingExtraError: scikit-image is not installed.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise MissingExtraError("calibrating without --data", "scikit-image", "build")
    return [Path(found.origin).parent / "data" / name for name in _PHOTOGRAPHS]


def _crops(count: int, seed: int) -> list[np.ndarray[Any, Any]]:
    """Crops of the photographs: the whole ones first, then random parts of 20 to 100 % of the area, half mirrored."""
    from PIL import Image

    generator = np.random.default_rng(seed)
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in photographs()]
    crops = list(pictures[:count]) if seed == 0 else []
    while len(crops) < count:
        pixels = pictures[len(crops) % len(pictures)]
        height, width = pixels.shape[:2]
        side = int(min(height, width) * np.sqrt(generator.uniform(0.2, 1.0)))
        top, left = generator.integers(0, height - side + 1), generator.integers(0, width - side + 1)
        crop = pixels[top : top + side, left : left + side]
        crops.append(np.ascontiguousarray(crop[:, ::-1] if generator.random() < 0.5 else crop))
    return crops


def _noise(tensor: TensorSpec, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    dtype = np.dtype(tensor.dtype)
    if dtype.kind == "f":
        if tensor.range is None:
            return generator.standard_normal(tensor.shape).astype(dtype)
        return generator.uniform(*tensor.range, tensor.shape).astype(dtype)
    low, high = (int(limit) for limit in tensor.range) if tensor.range else (0, 1)
    return generator.integers(low, high + 1, tensor.shape).astype(dtype)


def _read_npz(path: Path, inputs: Sequence[TensorSpec], kinds: Mapping[str, InputKind]) -> Feed:
    try:
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):  # an array alone is no context: TypeError
            return {
                tensor.name: prepare(kinds[tensor.name], archive[tensor.name], tensor) for tensor in inputs
            }
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} does not hold an array for each input ({error}); save them with numpy.savez"
        ) from None
