"""Which networks to train, and how: groups of runs in a TOML file, where a list stands for each of its items."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgepress.training.augment import PAD

VARIANTS = ("float", "mean", "median")


@dataclass(frozen=True)
class Run:
    """One network's training.

    Attributes:
        group: the part of the file that it comes from.
        variant: ``float``, or how a ternary weight's scale is measured: ``mean`` or ``median``.
        seed: of first weights, order and augmentation.
        width: channels of the network's first convolution.
        shrink: pictures are averaged over squares of so many pixels.
        scale: class scores are multiplied by it.
        prepared: begin with whitening filters and identities, see :meth:`Network.prepare`.
        shift: by how many pixels pictures are moved at random.
        steps, batch: as :class:`edgepress.training.Plan` has them.
        rate: the highest learning rate.
        decay: weight decay; ternary runs lose it half-way.
        start: the group whose float run of this seed gives the first weights; empty begins from nothing.
        teacher: the group whose float run of this seed is learned from; empty learns from labels alone.
    """

    group: str
    variant: str = "float"
    seed: int = 0
    width: int = 32
    shrink: int = 1
    scale: float = 1.0
    prepared: bool = False
    shift: int = PAD
    steps: int = 5865
    batch: int = 128
    rate: float = 0.1
    decay: float = 5e-4
    start: str = ""
    teacher: str = ""

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.group}-{self.variant}-rate{self.rate:g}-decay{self.decay:g}-{self.seed}"


def read_runs(path: Path) -> list[Run]:
    """All runs of a file, in its order.

    The table ``all`` holds for every group; each table of ``runs`` is a group, whose runs are all combinations
    of the items of its lists.

    Raises:
        ValueError: a key, a variant or a group that a run needs is unknown.
    """
    file = tomllib.loads(path.read_text("utf-8"))
    known = {field.name for field in fields(Run)} - {"group"}
    found: list[Run] = []
    for group, own in file["runs"].items():
        table: dict[str, Any] = {**file.get("all", {}), **own}
        if not known.issuperset(table):
            raise ValueError(
                f"{path}: runs.{group} has {sorted(set(table) - known)}; keys are {sorted(known)}"
            )
        lists = [value if isinstance(value, list) else [value] for value in table.values()]
        found += [Run(group, **dict(zip(table, each, strict=True))) for each in itertools.product(*lists)]
    for run in found:
        if run.variant not in VARIANTS:
            raise ValueError(f"{path}: no variant {run.variant!r}; there are {', '.join(VARIANTS)}")
        for needed in filter(None, (run.start, run.teacher)):
            float_run(found, needed, run.seed)
    return found


def float_run(runs: list[Run], group: str, seed: int) -> Run:
    """The float run of a group and a seed.

    Raises:
        ValueError: there is none, or there are several.
    """
    fitting = [run for run in runs if (run.group, run.variant, run.seed) == (group, "float", seed)]
    if len(fitting) != 1:
        raise ValueError(f"{len(fitting)} float runs of seed {seed} in runs.{group}; one is needed")
    return fitting[0]
