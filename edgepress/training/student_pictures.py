"""Pictures that a student learns from: cut out and mirrored at random, as the teacher's input; and those kept apart."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgepress.errors import DataError
from edgepress.inputs import ImageInput, prepare
from edgepress.tensor import TensorSpec
from edgepress.training.examples import Batch, Examples
from edgepress.training.material import Material
from edgepress.training.sets import Sets

_LEAST = 64  # pixels of the short side
_SMALLEST = 0.25  # of a picture's area that a cut-out has
_SLIMMEST = 4 / 3  # its proportions, either way
_SCORED = 48  # of the pictures that are trained on: to tell how it goes, on their middles


@dataclass(frozen=True)
class Pictures:
    """What there is to train on, and what is kept apart for measuring.

    Attributes:
        material: all of it.
        trained: numbers in it of the pictures to train on.
        apart: numbers of those kept apart.
        kind, spec: how the teacher's input is made, and its tensor.
    """

    material: Material
    trained: tuple[int, ...]
    apart: tuple[int, ...]
    kind: ImageInput
    spec: TensorSpec

    def prepared(self, numbers: Sequence[int]) -> Tensor:
        """Pictures as the teacher's input is made of files: ``[n, channels, rows, columns]``."""
        made = [prepare(self.kind, self.material.paths[at], self.spec) for at in numbers]
        return torch.from_numpy(np.concatenate(made))

    def names(self, numbers: Sequence[int]) -> list[str]:
        """Names of files, without their folders."""
        return [self.material.paths[at].name for at in numbers]


def find_pictures(folders: Sequence[Path], kind: ImageInput, spec: TensorSpec, keep: int | Path) -> Pictures:
    """The pictures of some folders.

    Args:
        keep: how many of the first folder's pictures are kept apart, evenly spread; or a file that lists their names,
            one a line.

    Raises:
        DataError: there are too few pictures, or one that is to be kept apart is not among them.
    """
    material = Material(folders, 2, 3, _LEAST)
    if isinstance(keep, Path):
        apart = _listed(material, keep)
    else:
        first = [at for at, path in enumerate(material.paths) if path.is_relative_to(folders[0])]
        if keep > len(first) // 2:
            raise DataError(
                f"{folders[0]} holds {len(first)} pictures; at most half can be kept apart, not {keep}"
            )
        apart = [first[index * len(first) // keep] for index in range(keep)]
    kept = set(apart)
    trained = [at for at in range(len(material)) if at not in kept]
    if not trained:
        raise DataError("all pictures are kept apart; leave some to train on")
    return Pictures(material, tuple(trained), tuple(apart), kind, spec)


def picture_sets(pictures: Pictures) -> Sets:
    """Random cut-outs to train on, as the teacher's input; and the middles of some of the same, to score on."""
    size = pictures.spec.shape[2:]
    trained = torch.tensor(pictures.trained)

    def cut(batch: Batch, generator: torch.Generator) -> Batch:
        made = [cut_out(pictures.material[int(at)], size, generator) for at in trained[batch[0]]]
        return (normalised(torch.stack(made), pictures.kind).contiguous(memory_format=torch.channels_last),)

    spread = np.unique(np.linspace(0, len(trained) - 1, min(_SCORED, len(trained)), dtype=int))
    shown = pictures.prepared([pictures.trained[at] for at in spread])
    text = f"{pictures.material.digest} {pictures.trained} {pictures.kind} {pictures.spec}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    origin = f"{pictures.material.origin}, {len(pictures.apart)} kept apart"
    train = Examples(len(trained), lambda at: (at,), cut, origin, digest)
    return Sets(train, Examples(len(shown), lambda at: (shown[at],), None, origin, digest), origin, digest)


def cut_out(samples: Tensor, size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Float pixels ``[channels, *size]`` of a part of a picture ``[channels, rows, columns]``, mirrored half the time.

    Area and proportions are drawn as for training classifiers (Szegedy et al., "Going deeper with convolutions", 2015,
    section 6), but no part is smaller than a quarter.
    """
    rows, columns = samples.shape[1:]
    draw = torch.rand(5, generator=generator).tolist()
    area = rows * columns * (_SMALLEST + (1 - _SMALLEST) * draw[0])
    shape = math.exp((2 * draw[1] - 1) * math.log(_SLIMMEST)) * size[1] / size[0]
    width = max(1, min(round(math.sqrt(area * shape)), columns))
    height = max(1, min(round(math.sqrt(area / shape)), rows))
    top, left = int(draw[2] * (rows - height + 1)), int(draw[3] * (columns - width + 1))
    part = samples[:, top : top + height, left : left + width].float()
    made = functional.interpolate(part[None], tuple(size), mode="bilinear", antialias=True)[0]
    return made.flip(-1) if draw[4] < 0.5 else made


def normalised(pixels: Tensor, kind: ImageInput) -> Tensor:
    """Pixels ``[n, 3, …]`` as the teacher's input."""
    mean, std = (torch.tensor(each).reshape(-1, 1, 1) for each in (kind.mean, kind.std))
    return (pixels.flip(1) if kind.colour == "BGR" else pixels).sub(mean).div(std)


def _listed(material: Material, file: Path) -> list[int]:
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}); give a text with one file name a line") from None
    places = {path.name: at for at, path in enumerate(material.paths)}
    missing = next((name for name in names if name not in places), "")
    if missing or not names:
        raise DataError(
            f"{file} lists {missing or 'nothing'}, which is not among the pictures; correct the list"
        )
    return sorted(places[name] for name in set(names))
