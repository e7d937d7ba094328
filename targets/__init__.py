"""Boards: what is known of each, as data. Compilers live in ``edgepress.targets.compilers``."""

from __future__ import annotations

from edgepress.targets.describe import describe
from edgepress.targets.description import (
    Accelerator,
    Cache,
    Cpu,
    Efficiency,
    PowerSource,
    RuntimeLimits,
    Target,
    Toolchain,
)
from edgepress.targets.detect import host_target
from edgepress.targets.load import load_target, target_names

__all__ = [
    "Accelerator",
    "Cache",
    "Cpu",
    "Efficiency",
    "PowerSource",
    "RuntimeLimits",
    "Target",
    "Toolchain",
    "describe",
    "host_target",
    "load_target",
    "target_names",
]
