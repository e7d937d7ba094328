"""Grouped convolutions: the last axis of a nest, outputs, as two: groups, and the outputs of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, analyzer, dtype_of, replace_loads, substitute
from edgepress.targets.compilers.tvm.stages import GROUPS, Axis, Nest, Stage


def by_group(nest: Nest) -> Nest:
    """A contraction of groups with an axis for groups, so that its columns are one group's; others as given.

    The row operand then depends on the group alone, and schedules for contractions take it.
    """
    anchor = nest.anchor
    if anchor is None or GROUPS not in anchor.notes or nest.kind != "contraction":
        return nest
    last = anchor.spatial[-1]
    outputs = int(anchor.notes[GROUPS][1])
    dtype = dtype_of(last.var)
    group = Axis(tirx.Var("g", dtype), last.extent // outputs, False)
    own = Axis(tirx.Var("c", dtype), outputs, False)
    values = {last.var: group.var * tirx.IntImm(dtype, outputs) + own.var}
    return Nest(_split(nest.stage, last, (group, own), values), _split(anchor, last, (group, own), values))


def in_one_vector(shape: Sequence[int], groups: int, lanes: int) -> bool:
    """Whether groups of such weights ``[outputs, inputs of a group, …]`` are so small that several share one vector."""
    inputs, outputs = int(shape[1]), int(shape[0]) // groups
    return inputs <= outputs < lanes + (inputs == 1) and lanes % outputs == 0


def merged(weight: np.ndarray, groups: int, inputs: int, outputs: int) -> tuple[np.ndarray, int]:
    """Weights ``[outputs, inputs of a group, *window]`` with groups put together, and how many are left.

    Each has a multiple of ``inputs`` and at least ``outputs`` where that can be, else all become one. Weights
    from one of the old groups to another are zero.
    """
    each = weight.reshape(groups, -1, *weight.shape[1:])
    made, given = each.shape[1:3]
    count = next(
        (n for n in range(1, groups) if groups % n == 0 and n * given % inputs == 0 and n * made >= outputs),
        groups,
    )
    whole = np.zeros((groups // count, count, made, count, given, *weight.shape[2:]), weight.dtype)
    for place in range(count):
        whole[:, place, :, place] = each[place::count]
    return whole.reshape(len(weight), count * given, *weight.shape[2:]), groups // count


def _split(stage: Stage, last: Axis, into: tuple[Axis, Axis], values: dict[Any, Expr]) -> Stage:
    axes = [part for axis in stage.axes for part in (into if axis.var.same_as(last.var) else (axis,))]
    arith = analyzer({axis.var: axis.extent for axis in axes})

    def simplified(load: Any) -> Any:
        return tirx.BufferLoad(load.source, [arith.simplify(index) for index in load.indices])

    return replace(
        stage, axes=tuple(axes), indices=tuple(substitute(index, values) for index in stage.indices),
        value=replace_loads(substitute(stage.value, values), simplified),
    )  # fmt: skip
