"""Reductions along rows that lie together in memory, by one vector of partial results for each row.

Partial results are joined in a fixed order, so the result does not depend on the number of parts.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, is_load, loads
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence, split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.contraction import steps_by_one
from edgepress.targets.compilers.tvm.stages import Axis, Nest, Stage

_JOINS = (tirx.Add, tirx.Max, tirx.Min, tirx.Mul)


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A vector reduction of fp32 rows, or None where the last summed axis is short or not contiguous."""
    anchor = nest.anchor
    if anchor is None or machine.lanes == 1 or dtype_of(anchor.buffer) != "float32":
        return None
    row = anchor.reduction[-1]
    if row.extent < 2 * machine.lanes or not _joins(anchor) or not _contiguous(frame, anchor, row):
        return None
    axes = anchor.spatial
    extents = [axis.extent for axis in axes]
    total = 1
    for extent in extents:
        total *= extent
    part = frame.axis("i", total)
    places = split_flat(part, extents) if axes else []
    variables = {axis.var: frame.simplify(place) for axis, place in zip(axes, places, strict=True)}
    return Body(frame.part_loop(part, _row(nest, frame, anchor, row, variables, machine.lanes)), total)


def _joins(stage: Stage) -> bool:
    value = stage.value
    if not isinstance(value, _JOINS) or not isinstance(stage.init, tirx.FloatImm):
        return False
    own = [side for side in (value.a, value.b) if is_load(side) and side.source.same_as(stage.buffer)]
    return len(own) == 1 and sum(load.source.same_as(stage.buffer) for load in loads(value)) == 1


def _contiguous(frame: Frame, stage: Stage, row: Axis) -> bool:
    variables: dict[Any, Expr] = {axis.var: frame.axis("t", axis.extent) for axis in stage.axes}
    for load in loads(stage.value):
        if load.source.same_as(stage.buffer):
            continue
        first = frame.load_offset(load, {**variables, row.var: const(0)})
        second = frame.load_offset(load, {**variables, row.var: const(1)})
        gap = frame.simplify(second - first)
        still = isinstance(gap, tirx.IntImm) and int(gap) == 0
        if not still and not steps_by_one(frame, load, variables, row.var, const(0), row.extent):
            return False
    return True


def _row(nest: Nest, frame: Frame, anchor: Stage, row: Axis, variables: dict[Any, Expr], lanes: int) -> Any:
    partial, acc = local("partial", lanes, "float32"), local("acc", 1, "float32")
    held = tirx.BufferLoad(acc, [const(0)])
    join = type(anchor.value)
    lane = frame.axis("v", lanes)
    start = loop(
        lane,
        lanes,
        tirx.BufferStore(partial, frame.value(anchor.init, variables), [lane]),
        tirx.ForKind.VECTORIZED,
    )

    inner = dict(variables)
    loops = []
    for axis in anchor.reduction[:-1]:
        var = frame.axis("k", axis.extent)
        inner[axis.var] = var
        loops.append((var, axis.extent))
    trips, tail = divmod(row.extent, lanes)
    step, lane = frame.axis("k", trips), frame.axis("v", lanes)
    value = frame.value(
        anchor.value, {**inner, row.var: step * const(lanes) + lane}, tirx.BufferLoad(partial, [lane])
    )
    body = [
        loop(
            step, trips, loop(lane, lanes, tirx.BufferStore(partial, value, [lane]), tirx.ForKind.VECTORIZED)
        )
    ]
    if tail:
        rest = frame.axis("k", tail)
        value = frame.value(anchor.value, {**inner, row.var: const(trips * lanes) + rest}, held)
        body.append(loop(rest, tail, tirx.BufferStore(acc, value, [const(0)])))
    statement = sequence(body)
    for var, extent in reversed(loops):
        statement = loop(var, extent, statement)

    statements = [tirx.AllocBuffer(partial), tirx.AllocBuffer(acc), start]
    statements += [tirx.BufferStore(acc, frame.value(anchor.init, variables), [const(0)]), statement]
    for place in range(lanes):
        joined = join(held, tirx.BufferLoad(partial, [const(place)]))
        statements.append(tirx.BufferStore(acc, joined, [const(0)]))
    return sequence([*statements, frame.store(variables, held)])
