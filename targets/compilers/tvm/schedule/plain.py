"""The schedule that takes everything: loops in order, a scalar sum, vectors left to the code generator."""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, loads, uses
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, no_division, sequence, split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.stages import Nest

_ENOUGH_PARTS = 32


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A loop nest over the stored buffer; the outermost loops are one, divided between parts."""
    axes = nest.stage.spatial
    variables: dict[Any, Expr] = {axis.var: const(0) for axis in axes if axis.extent == 1}
    live = [axis for axis in axes if axis.extent > 1]
    outer = len(live) if _flattens(nest, frame) else _outer_count([axis.extent for axis in live])

    total = 1
    for axis in live[:outer]:
        total *= axis.extent
    part = frame.axis("i", total)
    for axis, place in zip(live[:outer], split_flat(part, [a.extent for a in live[:outer]]), strict=True):
        variables[axis.var] = frame.simplify(place)
    inner = []
    for axis in live[outer:]:
        var = frame.axis("j", axis.extent)
        variables[axis.var] = var
        inner.append((var, axis.extent))

    if nest.anchor is None and inner:
        statement = _guarded(nest, frame, variables, inner)
        if statement is not None:
            return Body(frame.part_loop(part, statement), total)
    statement = _innermost(nest, frame, variables)
    for var, extent in reversed(inner):
        statement = loop(var, extent, statement)
    return Body(frame.part_loop(part, statement), total)


def _guarded(
    nest: Nest, frame: Frame, variables: dict[Any, Expr], inner: list[tuple[Any, int]]
) -> Any | None:
    """Padding: the test is made once for each run of the innermost loop, outside it."""
    value = frame.value(nest.stage.value, variables)
    if not isinstance(value, ir.Call) or str(value.op.name).split(".")[-1] != "if_then_else":
        return None
    condition, inside, outside = value.args
    innermost, extent = inner[-1]
    if uses(condition, innermost):
        return None
    statement = tirx.IfThenElse(
        condition,
        loop(innermost, extent, frame.put(variables, inside)),
        loop(innermost, extent, frame.put(variables, outside)),
    )
    for var, count in reversed(inner[:-1]):
        statement = loop(var, count, statement)
    return statement


def _outer_count(extents: list[int]) -> int:
    """How many leading loops become the divided one: enough for many parts, never the last of several."""
    if len(extents) < 2:
        return len(extents)
    product = 1
    for count, extent in enumerate(extents[:-1], 1):
        product *= extent
        if product >= _ENOUGH_PARTS:
            return count
    return len(extents) - 1


def _flattens(nest: Nest, frame: Frame) -> bool:
    """Whether every access is linear in the position, so that one loop does."""
    if nest.anchor is not None:
        return False
    axes = nest.stage.spatial
    total = 1
    for axis in axes:
        total *= axis.extent
    place = frame.axis("t", total)
    places = split_flat(place, [axis.extent for axis in axes]) if axes else []
    variables = {axis.var: p for axis, p in zip(axes, places, strict=True)}
    return all(
        no_division(frame.load_offset(load, variables)) for load in loads(nest.stage.value)
    ) and no_division(frame.offset(nest.stage.buffer, frame.indices_of(list(nest.stage.indices), variables)))


def _innermost(nest: Nest, frame: Frame, variables: dict[Any, Expr]) -> Any:
    anchor = nest.anchor
    if anchor is None:
        return frame.store(variables)
    acc = local("acc", 1, dtype_of(anchor.buffer))
    held = tirx.BufferLoad(acc, [const(0)])
    inner = dict(variables)
    reduction = []
    for axis in anchor.reduction:
        var = frame.axis("k", axis.extent)
        inner[axis.var] = var
        reduction.append((var, axis.extent))
    statement: Any = tirx.BufferStore(acc, frame.value(anchor.value, inner, held), [const(0)])
    for var, extent in reversed(reduction):
        statement = loop(var, extent, statement)
    start = tirx.BufferStore(acc, frame.value(anchor.init, variables), [const(0)])
    return sequence([tirx.AllocBuffer(acc), start, statement, frame.store(variables, held)])
