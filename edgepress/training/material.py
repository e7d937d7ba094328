"""Folders of pictures, recordings or arrays, as what a codec is trained on; decoded when first asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgepress.errors import DataError
from edgepress.runtimes.codec_files import opened
from edgepress.runtimes.codec_samples import convert

_ENDINGS = {
    1: (".wav", ".npy"),
    2: (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".npy"),
    3: (".npy",),
}
_KINDS = {1: "recordings (.wav, .npy)", 2: "pictures", 3: "volumes (.npy)"}
_WHITE = "white"
_MOST_KEPT = 1 << 30  # bytes of decoded files that stay in memory


class Material:
    """The files of some folders that a codec can be trained on.

    Args:
        folders: looked through with their sub-folders, in the order of names.
        axes, channels: of the codec; one channel serves a codec of several.
        least: samples that every extent must have; smaller files are left out.

    Raises:
        DataError: there are fewer than two such files.
    """

    def __init__(self, folders: Sequence[Path], axes: int, channels: int, least: int) -> None:
        self._axes, self._channels = axes, channels
        self._kept: dict[int, Tensor] = {}
        self._bytes = 0
        self.paths: list[Path] = []
        self.extents: list[tuple[int, ...]] = []
        digest = hashlib.sha256()
        found, reasons = 0, []
        for folder in folders:
            for path in _files(folder, axes):
                found += 1
                try:
                    with opened(path, axes, _WHITE) as samples:
                        extents, given = samples.extents, samples.channels
                except DataError as error:
                    reasons.append(str(error))
                    continue
                if given not in (1, channels):
                    reasons.append(f"{path} has {given} channels, and the codec {channels}")
                elif min(extents) < least:
                    reasons.append(
                        f"{path} has {' x '.join(map(str, extents))} samples, and {least} are needed"
                    )
                else:
                    self.paths.append(path)
                    self.extents.append(extents)
                    digest.update(f"{path.relative_to(folder)} {extents} {path.stat().st_size}\n".encode())
        names = ", ".join(folder.name for folder in folders)
        self.origin = f"{names}: {len(self.paths)} {_KINDS[axes].partition(' ')[0]}"
        self.digest = digest.hexdigest()
        self.left_out = tuple(reasons)
        if len(self.paths) < 2:
            why = f" ({reasons[0]})" if reasons else ""
            raise DataError(
                f"{names} holds {found} {_KINDS[axes]}, and {len(self.paths)} can be used{why}; give two or more"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        """uint8, int16 or float32 ``[channels, *extents]``.

        Raises:
            DataError: the file has changed, or is damaged.
        """
        if index not in self._kept:
            samples = self._read(index)
            if self._bytes + samples.nbytes > _MOST_KEPT:
                return samples
            self._bytes += samples.nbytes
            self._kept[index] = samples
        return self._kept[index]

    def _read(self, index: int) -> Tensor:
        with opened(self.paths[index], self._axes, _WHITE) as samples:
            block = np.asarray(samples.read(0, samples.extents[0]))
        if block.dtype == np.uint16:
            block = (block // 257).astype(np.uint8)
        if block.dtype not in (np.uint8, np.int16):
            floats = np.empty(block.shape, np.float32)
            convert(str(self.paths[index]))(block, floats)
            block = floats
        if block.shape[1:] != self.extents[index]:
            raise DataError(f"{self.paths[index]} was changed during the training; begin again")
        block = np.broadcast_to(block, (self._channels, *block.shape[1:]))
        return torch.from_numpy(np.array(block))


def scaled(samples: Tensor) -> Tensor:
    """uint8 0 … 255, int16 or float → float32 −1 … 1."""
    if samples.dtype == torch.uint8:
        return samples.float() * (2 / 255) - 1
    return samples.float() * (1 / 32768) if samples.dtype == torch.int16 else samples.float()


def _files(folder: Path, axes: int) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one with {_KINDS[axes]}")
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS[axes] and path.is_file()
    )
