"""Kernels that are written as a whole, by the attribute of the PrimFunc that stands for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgepress.targets.compilers.tvm.attention_form import ATTENTION, attention_of
from edgepress.targets.compilers.tvm.dynamic_form import ROW_CODES
from edgepress.targets.compilers.tvm.filters import FILTER, filter_of
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.norms import LAYER_NORM
from edgepress.targets.compilers.tvm.schedule.attention import attention_kernel
from edgepress.targets.compilers.tvm.schedule.filter import filter_kernel
from edgepress.targets.compilers.tvm.schedule.layer_norm import layer_norm_kernel
from edgepress.targets.compilers.tvm.schedule.raw import Made
from edgepress.targets.compilers.tvm.schedule.row_codes import row_codes_kernel

_MAKERS: dict[str, Callable[[Any, str, Machine], Made]] = {
    ATTENTION: attention_kernel,
    FILTER: filter_kernel,
    LAYER_NORM: layer_norm_kernel,
    ROW_CODES: row_codes_kernel,
}


def is_whole(func: Any) -> bool:
    """Whether a PrimFunc only stands for a kernel."""
    return any(mark in (func.attrs or {}) for mark in _MAKERS)


def whole_kernel(func: Any, machine: Machine) -> Made:
    """The kernel that a PrimFunc stands for."""
    mark = next(mark for mark in _MAKERS if mark in func.attrs)
    return _MAKERS[mark](func, str(func.attrs[mark]), machine)


def macs_of(func: Any) -> int:
    """The multiply-accumulates of the kernel that a PrimFunc stands for."""
    if FILTER in func.attrs:
        return filter_of(str(func.attrs[FILTER])).macs
    return attention_of(str(func.attrs[ATTENTION])).macs if ATTENTION in func.attrs else 0


def in_integers(func: Any) -> bool:
    """Whether the kernel that a PrimFunc stands for computes on eight-bit numbers."""
    return ATTENTION in func.attrs and bool(attention_of(str(func.attrs[ATTENTION])).grids)
