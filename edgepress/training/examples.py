"""What is trained on: examples by number, and batches of them that a seed decides wholly.

Step ``n`` of a run has the same batch whether or not the run was interrupted before it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Batch = tuple[Tensor, ...]  # inputs first, then what the loss compares with; the first axis is the batch's
Augment = Callable[[Batch, torch.Generator], Batch]


@dataclass(frozen=True)
class Examples:
    """A number of examples.

    Attributes:
        count: how many.
        take: ``take(indices)`` gives the batch of those examples, in order.
        augment: changes a batch at random, by the generator that it is given; None leaves batches alone.
        origin: what they are, for people and records.
        digest: changes when they do.
    """

    count: int
    take: Callable[[Tensor], Batch]
    augment: Augment | None = None
    origin: str = ""
    digest: str = ""

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The batch of a step: every example once in each round, in an order of that round's own."""
        size = min(size, self.count)
        each = self.count // size
        turn, at = divmod(step, each)
        batch = self.take(_order(self.count, seed, turn)[at * size : (at + 1) * size].clone())
        return batch if self.augment is None else self.augment(batch, _generator(seed, step, 1))

    def in_order(self, size: int) -> Any:
        """All examples in batches, in order and as they are."""
        for first in range(0, self.count, size):
            yield self.take(torch.arange(first, min(first + size, self.count)))


def from_tensors(
    *tensors: Tensor, augment: Augment | None = None, origin: str = "", digest: str = ""
) -> Examples:
    """Examples that lie in memory, along the first axis of each tensor.

    Raises:
        ValueError: there are none, or the tensors are not of one length.
    """
    if not tensors or not len(tensors[0]) or any(len(each) != len(tensors[0]) for each in tensors):
        raise ValueError(f"tensors of lengths {[len(each) for each in tensors]} are no examples")
    return Examples(len(tensors[0]), lambda at: tuple(each[at] for each in tensors), augment, origin, digest)


@functools.lru_cache(maxsize=1)  # every step of a round asks
def _order(count: int, seed: int, turn: int) -> Tensor:
    return torch.randperm(count, generator=_generator(seed, turn, 0))


def _generator(seed: int, number: int, kind: int) -> torch.Generator:
    # Distinct for every (seed, number, kind) that a run can have.
    return torch.Generator().manual_seed((seed * 2 + kind) * 0x9E3779B97F4A7C15 % (1 << 63) ^ number)
