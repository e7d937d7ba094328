"""Windows of material: where each is cut is drawn anew each time; pictures are also made smaller, and mirrored."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgepress.training.examples import Batch, Examples
from edgepress.training.material import Material
from edgepress.training.sets import Sets

_SMALLEST = 0.5  # of a picture's size: making pictures smaller takes the marks of their own compression away


def window_sets(material: Material, size: int, held_out: int) -> Sets:
    """Windows to train on, ``[n, channels, size, …]``; and the middles of files kept apart to score on.

    Args:
        size: samples along each axis.
        held_out: how many files are kept apart, evenly spread.
    """
    apart = np.unique(np.linspace(0, len(material) - 1, min(held_out, len(material) // 2), dtype=int))
    kept = torch.tensor([at for at in range(len(material)) if at not in set(apart.tolist())])
    others = torch.from_numpy(apart)

    def cut(batch: Batch, generator: torch.Generator) -> Batch:
        return (torch.stack([window(material[int(at)], size, generator) for at in kept[batch[0]]]),)

    def middles(at: Tensor) -> Batch:
        return (torch.stack([_middle(material[int(each)], size) for each in others[at]]),)

    digest = hashlib.sha256(f"{material.digest} {size} {len(apart)}".encode()).hexdigest()
    train = Examples(len(kept), lambda at: (at,), cut, material.origin, digest)
    return Sets(train, Examples(len(others), middles, None, material.origin, digest), material.origin, digest)


def window(samples: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """``[channels, size, …]`` from anywhere in ``[channels, *extents]``.

    Pictures of bytes are made smaller half of the time, and mirrored half of the time.
    """
    extents = samples.shape[1:]
    draw = torch.rand(len(extents) + 3, generator=generator).tolist()
    is_picture = len(extents) == 2 and samples.dtype == torch.uint8
    scale = 1.0
    if is_picture and draw[0] >= 0.5:
        smallest = max(_SMALLEST, size / min(extents))
        scale = smallest + (1 - smallest) * draw[1]
    side = min(round(size / scale), *extents)
    for axis, (share, extent) in enumerate(zip(draw[2:-1], extents, strict=True), 1):
        samples = samples.narrow(axis, int(share * (extent - side + 1)), side)
    if side != size:
        smaller = functional.interpolate(samples[None].float(), (size, size), mode="bicubic", antialias=True)
        samples = smaller[0].round().clamp(0, 255).to(torch.uint8)
    return samples.flip(-1) if is_picture and draw[-1] < 0.5 else samples


def _middle(samples: Tensor, size: int) -> Tensor:
    for axis, extent in enumerate(samples.shape[1:], 1):
        samples = samples.narrow(axis, (extent - size) // 2, size)
    return samples
