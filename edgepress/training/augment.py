"""Pictures shifted and mirrored at random, so that a network does not learn them by heart."""

from __future__ import annotations

import torch
from torch import nn

from edgepress.training.examples import Batch

PAD = 4


def shifted(batch: Batch, generator: torch.Generator, pad: int = PAD, mirror: bool = True) -> Batch:
    """Move each picture of a batch by up to ``pad`` pixels each way over zeros, and mirror every other one.

    Args:
        batch: pictures ``[batch, channels, height, width]`` of any type first; the rest is given back as it is.
        generator: decides.
    """
    x, *rest = batch
    count, _, height, width = x.shape
    padded = nn.functional.pad(x, (pad,) * 4)
    down, right = torch.randint(0, 2 * pad + 1, (2, count, 1, 1), generator=generator)
    turned = (torch.rand(count, 1, 1, generator=generator) < 0.5) & mirror
    rows = down + torch.arange(height)[None, :, None]
    columns = torch.arange(width)[None, None, :]
    columns = right + torch.where(turned, width - 1 - columns, columns)
    which = torch.arange(count)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2).contiguous()
    return (moved, *rest)
