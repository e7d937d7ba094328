"""Reductions over a window with channels last: depthwise convolution, pooling, means over places.

Every read is contiguous along the last axis; a tile of neighbouring outputs shares what it reads.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, loads
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence, split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.contraction import steps_by_one
from edgepress.targets.compilers.tvm.stages import Axis, Nest, Stage

_MOST_UNROLLED = 8
_BYTES_WIDTH = 2  # registers of sums for one read of 8-bit data


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A tile of outputs × one vector of channels, or None where reads do not lie along the last axis."""
    anchor = nest.anchor
    if anchor is None or machine.lanes == 1 or not anchor.spatial:
        return None
    channels = anchor.spatial[-1]
    if channels.extent < machine.lanes or not _contiguous(frame, anchor, channels):
        return None
    # Sums of 8-bit data are several registers wide, so that each read fills half a register at least.
    narrow = dtype_of(anchor.buffer) == "int32" and _reads_bytes(anchor)
    width = _BYTES_WIDTH if narrow and channels.extent >= _BYTES_WIDTH * machine.lanes else 1
    lanes = machine.lanes * width
    outer = anchor.spatial[:-1]
    shares = len(anchor.reduction) > 1 and bool(outer) and len(loads(anchor.value)) > 2
    cut = _balanced(outer[-1].extent, 7 if machine.registers >= 32 else 5) if shares else 1
    rest = list(outer[:-1]) if shares else list(outer)
    return _loops(nest, frame, rest, outer[-1] if shares else None, cut, channels, lanes)


def _reads_bytes(stage: Stage) -> bool:
    return any(dtype_of(load) in ("int8", "uint8") for load in loads(stage.value))


def _contiguous(frame: Frame, anchor: Stage, channels: Axis) -> bool:
    variables: dict[Any, Expr] = {a.var: frame.axis("t", a.extent) for a in anchor.axes}
    for load in loads(anchor.value):
        if load.source.same_as(anchor.buffer):
            continue
        first = frame.load_offset(load, {**variables, channels.var: const(0)})
        second = frame.load_offset(load, {**variables, channels.var: const(1)})
        gap = frame.simplify(second - first)
        fixed = isinstance(gap, tirx.IntImm) and int(gap) == 0
        if not fixed and not steps_by_one(frame, load, variables, channels.var, const(0), channels.extent):
            return False
    return True


def _balanced(extent: int, most: int) -> int:
    tiles = -(-extent // most)
    return -(-extent // tiles)


def _loops(
    nest: Nest, frame: Frame, rest: list[Axis], row: Axis | None, cut: int, channels: Axis, lanes: int
) -> Body:
    """The divided loop over what is outside, or over channels where nothing is."""
    extents = [axis.extent for axis in rest]
    total = 1
    for extent in extents:
        total *= extent
    full, left = divmod(channels.extent, lanes)
    widths = [(full, lanes)] if full else []

    def tiles(variables: dict[Any, Expr], first: Expr, width: int) -> Any:
        if row is None:
            return _tile(nest, frame, [variables], channels, first, width)
        whole, over = divmod(row.extent, cut)
        statements = []
        for count, start, size in ((whole, 0, cut), (1 if over else 0, whole * cut, over)):
            if not count:
                continue
            var: Expr = frame.axis("x", count) if count > 1 else const(0)
            places = [
                {**variables, row.var: frame.simplify(var * const(size) + const(start + x))}
                for x in range(size)
            ]
            body = _tile(nest, frame, places, channels, first, width)
            statements.append(loop(var, count, body) if count > 1 else body)
        return sequence(statements)

    def narrow(variables: dict[Any, Expr]) -> list[Any]:
        statements, at, width = [], full * lanes, lanes
        while at < channels.extent:
            while width > channels.extent - at:
                width //= 2
            statements.append(tiles(variables, const(at), width))
            at += width
        return statements

    if total == 1 and not left:
        part = frame.axis("c", full)
        variables: dict[Any, Expr] = {axis.var: const(0) for axis in rest}
        return Body(frame.part_loop(part, tiles(variables, part * const(lanes), lanes)), full)
    part = frame.axis("y", total)
    places = map(frame.simplify, split_flat(part, extents)) if rest else ()
    variables = dict(zip((axis.var for axis in rest), places, strict=True))
    statements = []
    for count, width in widths:
        block = frame.axis("c", count)
        statements.append(loop(block, count, tiles(variables, block * const(width), width)))
    if left:
        statements += narrow(variables)
    return Body(frame.part_loop(part, sequence(statements)), total)


def _tile(
    nest: Nest, frame: Frame, places: list[dict[Any, Expr]], channels: Axis, first: Expr, width: int
) -> Any:
    anchor = nest.anchor
    assert anchor is not None
    dtype = dtype_of(anchor.buffer)
    kind = tirx.ForKind.VECTORIZED if width > 1 else tirx.ForKind.UNROLLED
    sums = [local(f"s{x}", width, dtype) for x in range(len(places))]
    statements: list[Any] = [tirx.AllocBuffer(acc) for acc in sums]
    for acc, place in zip(sums, places, strict=True):
        lane = frame.axis("v", width)
        start = frame.value(anchor.init, {**place, channels.var: first + lane})
        statements.append(loop(lane, width, tirx.BufferStore(acc, start, [lane]), kind))

    # The last window axis is unrolled where it is short, so that neighbours share their reads.
    unrolled = anchor.reduction[-1] if anchor.reduction[-1].extent <= _MOST_UNROLLED else None
    variables: dict[Any, Expr] = {}
    loops = []
    for axis in anchor.reduction:
        if axis is not unrolled:
            variables[axis.var] = frame.axis("k", axis.extent)
            loops.append((variables[axis.var], axis.extent))
    body = []
    for step in range(unrolled.extent if unrolled else 1):
        at = {**variables, unrolled.var: const(step)} if unrolled else variables
        for acc, place in zip(sums, places, strict=True):
            lane = frame.axis("v", width)
            value = frame.value(
                anchor.value, {**place, **at, channels.var: first + lane}, tirx.BufferLoad(acc, [lane])
            )
            body.append(loop(lane, width, tirx.BufferStore(acc, value, [lane]), kind))
    statement = sequence(body)
    for var, extent in reversed(loops):
        statement = loop(var, extent, statement)
    statements.append(statement)
    for acc, place in zip(sums, places, strict=True):
        lane = frame.axis("v", width)
        held = tirx.BufferLoad(acc, [lane])
        statements.append(loop(lane, width, frame.store({**place, channels.var: first + lane}, held), kind))
    return sequence(statements)
