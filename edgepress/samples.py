"""Examples to calibrate and to check with: the user's own, or pictures that come with installed packages."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.errors import DataError, MissingExtraError
from edgepress.inputs import ImageInput, InputKind, prepare
from edgepress.inputs.labelled import LabelledFiles, find_labelled
from edgepress.tensor import TensorSpec

Feed = dict[str, np.ndarray[Any, Any]]

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
        classes: the right class of each, where the examples tell.
    """

    digest: str
    origin: str
    count: int
    load: Callable[[], list[Feed]]
    classes: tuple[int, ...] = ()


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
        half: 0 or 1; where there are twice as many files, the two halves share none.
        names, classes: the classes' names and their number, where the model gives class scores.

    Raises:
        DataError: the folder is missing, or holds no such files.
    """
    several = len(inputs) > 1
    found = (
        _archives(folder) if several else find_labelled(folder, kinds[inputs[0].name].kind, names, classes)
    )
    kept = _half(found.spread(2 * count), half) if len(found.files) >= 2 * count else found.spread(count)
    digest = hashlib.sha256(repr((inputs, kinds, kept.classes)).encode())
    for path in kept.files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())

    def load() -> list[Feed]:
        if several:
            return [_read_npz(path, inputs, kinds) for path in kept.files]
        name = inputs[0].name
        return [{name: prepare(kinds[name], path, inputs[0])} for path in kept.files]

    origin = f"{len(kept.files)} files of {folder.resolve().name}"
    return Samples(digest.hexdigest(), origin, len(kept.files), load, kept.classes)


def _half(found: LabelledFiles, half: int) -> LabelledFiles:
    return LabelledFiles(found.files[half::2], found.classes[half::2], found.origin)


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
    """
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
        with np.load(path, allow_pickle=False) as archive:
            return {
                tensor.name: prepare(kinds[tensor.name], archive[tensor.name], tensor) for tensor in inputs
            }
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            f"{path} does not hold an array for each input ({error}); save them with numpy.savez"
        ) from None
