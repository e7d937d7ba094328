"""Folders of pictures as crops: where each is cut, and how much it is made smaller, is drawn anew each time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgepress.errors import DataError
from edgepress.training.examples import Batch, Examples
from edgepress.training.sets import Sets

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
_MOST_KEPT = 1 << 30  # bytes of decoded pictures that stay in memory
_SMALLEST = 0.5  # of a picture's size: making pictures smaller takes the marks of their own compression away


class Pictures:
    """The pictures of some folders, decoded when they are asked for.

    Args:
        folders: looked through with their sub-folders, in the order of names.
        least: pixels that both sides must have; smaller pictures are left out.
        channels: 3 for colour, 1 for grey.

    Raises:
        DataError: there are fewer than two pictures that large.
    """

    def __init__(self, folders: Sequence[Path], least: int, channels: int = 3) -> None:
        found = [(folder, path) for folder in folders for path in _files(folder)]
        self.channels = channels
        self._kept: dict[int, Tensor] = {}
        self._bytes = 0
        digest = hashlib.sha256()
        self.paths: list[Path] = []
        for folder, path in found:
            size = _size(path)
            if size is not None and min(size) >= least:
                self.paths.append(path)
                digest.update(f"{path.relative_to(folder)} {size} {path.stat().st_size}\n".encode())
        names = ", ".join(folder.name for folder in folders)
        self.origin = f"{names}: {len(self.paths)} pictures of at least {least} pixels a side"
        self.digest = digest.hexdigest()
        if len(self.paths) < 2:
            raise DataError(
                f"{names} holds {len(found)} pictures, {len(self.paths)} of them of at least {least} × {least} pixels, "
                "and two are needed; give larger ones, or a smaller --crop"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """uint8 ``[channels, rows, columns]``."""
        if index not in self._kept:
            picture = _decoded(self.paths[index], self.channels)
            if self._bytes + picture.nbytes > _MOST_KEPT:
                return picture
            self._bytes += picture.nbytes
            self._kept[index] = picture
        return self._kept[index]


def picture_sets(pictures: Pictures, size: int, held_out: int) -> Sets:
    """Crops to train on, uint8 ``[n, channels, size, size]``; and the middles of pictures kept apart to score on.

    Args:
        held_out: how many are kept apart, evenly spread.
    """
    apart = np.unique(np.linspace(0, len(pictures) - 1, min(held_out, len(pictures) // 2), dtype=int))
    kept = torch.tensor([at for at in range(len(pictures)) if at not in set(apart.tolist())])
    others = torch.from_numpy(apart)

    def cut(batch: Batch, generator: torch.Generator) -> Batch:
        return (torch.stack([_crop(pictures[int(at)], size, generator) for at in kept[batch[0]]]),)

    def middles(at: Tensor) -> Batch:
        return (torch.stack([_middle(pictures[int(each)], size) for each in others[at]]),)

    digest = hashlib.sha256(f"{pictures.digest} {size} {len(apart)}".encode()).hexdigest()
    train = Examples(len(kept), lambda at: (at,), cut, pictures.origin, digest)
    return Sets(train, Examples(len(others), middles, None, pictures.origin, digest), pictures.origin, digest)


def _crop(picture: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A square somewhere, at full size or made smaller, as it is or mirrored."""
    draw = torch.rand(5, generator=generator).tolist()
    smallest = max(_SMALLEST, size / min(picture.shape[1:]))
    scale = 1.0 if draw[0] < 0.5 else smallest + (1 - smallest) * draw[1]
    side = min(round(size / scale), *picture.shape[1:])
    top, left = (
        int(share * (extent - side + 1)) for share, extent in zip(draw[2:4], picture.shape[1:], strict=True)
    )
    cut = picture[:, top : top + side, left : left + side]
    if side != size:
        smaller = functional.interpolate(cut[None].float(), (size, size), mode="bicubic", antialias=True)[0]
        cut = smaller.round().clamp(0, 255).to(torch.uint8)
    return cut.flip(2) if draw[4] < 0.5 else cut


def _middle(picture: Tensor, size: int) -> Tensor:
    top, left = ((extent - size) // 2 for extent in picture.shape[1:])
    return picture[:, top : top + size, left : left + size]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with pictures")
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS and path.is_file())


def _size(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _decoded(path: Path, channels: int) -> Tensor:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); remove it from the folder") from None
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels).copy()).movedim(2, 0).contiguous()
