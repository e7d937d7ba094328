"""Ten digits drawn at random: examples to try a training with, and to test one, that need no download.

Each picture is one of ten glyphs of 5×7 points, turned, sheared, scaled and moved at random, over noise. A
small network tells them apart to some 99 %; the figures say nothing about photographs.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from torch import nn

from edgepress.errors import DataError
from edgepress.tensor import TensorSpec
from edgepress.training.examples import Examples, from_tensors

CLASSES = 10
COUNT = 4000
_MOST_BYTES = 1 << 29  # of all pictures
_FORM = 1  # changes when the pictures do
_GLYPHS = (
    "01110100011001110101110011000101110", "00100011000010000100001000010001110",
    "01110100010000100010001000100011111", "11111000100010000010000011000101110",
    "00010001100101010010111110001000010", "11111100001111000001000011000101110",
    "00110010001000011110100011000101110", "11111000010001000100010000100001000",
    "01110100011000101110100011000101110", "01110100011000101111000010001001100",
)  # fmt: skip


def digits(tensor: TensorSpec, count: int = COUNT, seed: int = 0) -> Examples:
    """Digits for a network's input, with their classes 0 to 9.

    Args:
        tensor: float ``[1, channels, height, width]``, or ``[1, n]`` with n a square, of at least 64 elements a
            channel. Pixels are about -1 (ground) to 1 (ink), all channels alike.

    Raises:
        DataError: the tensor is not of that form, or so many pictures of it are more than 512 MiB.
    """
    shape = tensor.shape[1:]
    side = math.isqrt(shape[0]) if len(shape) == 1 else 0
    drawn = shape if len(shape) == 3 else (1, side, side)
    if math.prod(drawn) != math.prod(shape) or min(drawn[1:]) < 8 or not tensor.dtype.startswith("float"):
        raise DataError(
            f"digits are pictures, and the network takes {tensor.name} {tensor.dtype} {tensor.shape}; "
            "give --data examples of your own"
        )
    size = 4 * count * math.prod(shape)
    if size > _MOST_BYTES:
        raise DataError(
            f"{count} digits of {'x'.join(map(str, shape))} would take {size / 1e9:.1f} GB, and serve to try small "
            "networks with; give --data examples of your own, or a smaller input"
        )
    generator = np.random.default_rng((seed, _FORM))
    labels = generator.integers(0, CLASSES, count)
    ink = _drawn(labels, drawn[1], drawn[2], generator)
    x = (2 * ink - 1 + 0.5 * generator.standard_normal(ink.shape)).astype(np.float32)
    pictures = torch.from_numpy(np.repeat(x[:, None], drawn[0], 1).reshape(count, *shape))
    digest = hashlib.sha256(repr(("digits", _FORM, tensor.shape, count, seed)).encode()).hexdigest()
    return from_tensors(
        pictures, torch.from_numpy(labels), origin=f"{count} drawn digits (built in)", digest=digest
    )


def _drawn(labels: np.ndarray, height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Ink from 0 to 1, ``[count, height, width]``."""
    count = len(labels)
    glyphs = np.array([[int(point) for point in glyph] for glyph in _GLYPHS], np.float32).reshape(-1, 1, 7, 5)
    turn, shear = generator.uniform(-0.5, 0.5, (2, count))
    tall, wide = generator.uniform(1.0, 1.8, (2, count))  # of the picture's extent over the glyph's
    move = generator.uniform(-0.25, 0.25, (2, count))
    cos, sin = np.cos(turn), np.sin(turn)
    affine = np.stack([wide * 1.2 * cos, wide * (shear - sin), move[0], tall * sin, tall * cos, move[1]], 1)
    grid = nn.functional.affine_grid(
        torch.from_numpy(affine.reshape(count, 2, 3).astype(np.float32)), [count, 1, height, width], False
    )
    ink = nn.functional.grid_sample(torch.from_numpy(glyphs)[labels], grid, "bilinear", "zeros", False)
    return ink[:, 0].numpy()
