"""Quantised depthwise convolution by instructions that sum four neighbouring products.

Four pixels that lie side by side are interleaved, so that each channel's four values lie together;
one multiply-add then covers four taps of a row. A run of four that begins at an even pixel serves two
outputs, by weights (k0, k1, k2, 0) and (0, k0, k1, k2). The interleaving leaves channels in the order
that narrowing to bytes undoes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence, split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing8 import TAPS, runs_of
from edgepress.targets.compilers.tvm.schedule.dot import DOTS, Dot, flipped
from edgepress.targets.compilers.tvm.schedule.operands8 import without_offset
from edgepress.targets.compilers.tvm.schedule.registers import get, pieces, put
from edgepress.targets.compilers.tvm.schedule.requantise import Requantise, gathered, read_requantise, sliced
from edgepress.targets.compilers.tvm.stages import DEPTHWISE, DOT, WINDOW, Axis, Nest

QUARTERS = 4  # registers of sums for one output of a block of channels


@dataclass(frozen=True)
class _Plan:
    nest: Nest
    frame: Frame
    dot: Dot
    flip: bool
    end: Requantise | None
    channels: Any
    x: Any
    weight: Any
    stride: int
    taps: int
    block: int
    row: Any
    crowded: bool


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """The kernel, or None where the nest is no depthwise convolution with weights packed for it."""
    anchor = nest.anchor
    if anchor is None or nest.kind != DEPTHWISE or WINDOW in anchor.notes:
        return None
    dot = DOTS[anchor.notes[DOT]]
    plain, offset = without_offset(anchor)
    product = plain.value.b if isinstance(plain.value.b, tirx.Mul) else plain.value.a
    x, weight = product.a.value, product.b.value
    column = anchor.reduction[-1]
    row = anchor.spatial[-2]
    here = {axis.var: const(0) for axis in anchor.axes}
    channels = shape_of(x.source)[-1]
    stride = int(frame.load_offset(x, {**here, row.var: const(1)})) if row.extent > 1 else channels
    block = 4 * machine.lanes
    plan = _Plan(
        nest, frame, dot, bool(offset), read_requantise(nest, machine),
        anchor.spatial[-1].var, x, weight, stride // channels,
        column.extent, block, row.var, machine.registers < 32,
    )  # fmt: skip
    most = 4 if machine.registers >= 32 else 2
    return _loops(plan, anchor.spatial[:-2], row, anchor.spatial[-1], most)


def _loops(plan: _Plan, outer: tuple[Axis, ...], row: Axis, channels: Axis, most: int) -> Body:
    frame = plan.frame
    total = 1
    for axis in outer:
        total *= axis.extent
    part = frame.axis("y", total)
    places = map(frame.simplify, split_flat(part, [axis.extent for axis in outer])) if outer else ()
    variables = dict(zip((axis.var for axis in outer), places, strict=True))
    tiles = -(-row.extent // most)
    cut = -(-row.extent // tiles)

    def along(block: Expr, width: int) -> Any:
        base = {**variables, channels.var: frame.simplify(block * const(plan.block))}
        statements: list[Any] = []
        ends = _ends(plan, base, width, statements)
        whole, over = divmod(row.extent, cut)
        for count, start, size in ((whole, 0, cut), (1 if over else 0, whole * cut, over)):
            if count:
                var: Expr = frame.axis("x", count) if count > 1 else const(0)
                first = frame.simplify(var * const(size) + const(start))
                body = _tile(plan, {**base, row.var: first}, row, channels, block, size, width, ends)
                statements.append(loop(var, count, body) if count > 1 else body)
        return sequence(statements)

    full, left = divmod(channels.extent, plan.block)
    statements = []
    if full:
        block = frame.axis("c", full)
        statements.append(loop(block, full, along(block, plan.block)))
    if left:
        statements.append(along(const(full), left))
    return Body(frame.part_loop(part, sequence(statements)), total)


def quarters(width: int) -> int:
    """The lanes of one register of sums: a quarter of the channels, in whole runs of sixteen bytes."""
    runs = -(-width // 16)
    return 4 * (1 if runs == 1 else 2 if runs == 2 else 4)


def interleaved(a: Expr, b: Expr, lanes: int, high: int) -> Expr:
    """Elements of two registers in turn, from the lower or upper half of each run of sixteen bytes.

    ``lanes`` is how many sums a register holds.
    """
    count = int(a.ty.dtype.lanes)
    run = 4 * count // lanes
    places = [(i // run) * run + high * (run // 2) + (i % run) // 2 for i in range(count)]
    return tirx.Shuffle([a, b], [const(place + (count if i % 2 else 0)) for i, place in enumerate(places)])


def _order(lanes: int, quarter: int) -> list[int]:
    """The channels of a register of sums after interleaving within runs of sixteen bytes."""
    return [16 * (i // 4) + 4 * quarter + i % 4 for i in range(lanes)]


def _ends(plan: _Plan, base: dict[Any, Expr], width: int, statements: list[Any]) -> list[tuple[Any, Any]]:
    """Bias and scale for each register of sums of an output."""
    lanes, ends = quarters(width), []
    for quarter in range(QUARTERS):
        pair = []
        for load, kind in ((plan.end.bias, "int32"), (plan.end.scale, "float32")) if plan.end else ():
            whole = gathered(plan.frame, load, base, width, QUARTERS * lanes)
            value = tirx.Shuffle([whole], [const(i) for i in _order(lanes, quarter)])
            var = tirx.Var("e", f"{kind}x{lanes}")
            statements.append(tirx.Bind(var, value))
            pair.append(var)
        ends.append((pair[0], pair[1]) if pair else (tirx.Broadcast(const(0), lanes), None))
    return ends


def _tile(
    plan: _Plan,
    base: dict[Any, Expr],
    row: Axis,
    channels: Axis,
    block: Expr,
    size: int,
    width: int,
    ends: list[tuple[Any, Any]],
) -> Any:
    frame, lanes = plan.frame, quarters(width)
    anchor = plan.nest.anchor
    assert anchor is not None
    sums = [[local(f"s{t}_{v}", lanes, "int32") for v in range(QUARTERS)] for t in range(size)]
    statements: list[Any] = []
    for each in sums:
        for acc, (start, _) in zip(each, ends, strict=True):
            statements += [tirx.AllocBuffer(acc), put(acc, start)]

    variables = {anchor.reduction[-1].var: const(0)}
    loops = []
    for axis in anchor.reduction[:-1]:
        variables[axis.var] = frame.axis("k", axis.extent) if axis.extent > 1 else const(0)
        if axis.extent > 1:
            loops.append((variables[axis.var], axis.extent))
    body = sequence(_row(plan, {**base, **variables}, sums, block, width))
    for var, extent in reversed(loops):
        body = loop(var, extent, body)
    statements.append(body)
    for t, each in enumerate(sums):
        there = {**base, row.var: frame.simplify(base[row.var] + const(t))}
        statements += _stored(plan, there, channels, each, [scale for _, scale in ends], width)
    return sequence(statements)


def _row(plan: _Plan, at: dict[Any, Expr], sums: list[list[Any]], block: Expr, width: int) -> list[Any]:
    """All outputs' sums over one row of the window."""
    frame, lanes, done = plan.frame, shape_of(sums[0][0])[0], []
    channels = shape_of(plan.x.source)[-1]
    start = frame.load_offset(plan.x, at)
    needed = (len(sums) - 1) * plan.stride + plan.taps
    known: dict[Any, Any] = {}

    def bound(value: Expr) -> Expr:
        var = tirx.Var("v", value.ty)
        done.append(tirx.Bind(var, value))
        return var

    def pixel(index: int) -> Expr:
        # A pixel past the last needed one meets weights of zero: another stands in for it.
        index = index if index < needed else index % 2
        if index not in known:
            first = frame.simplify(start + const(index * channels))
            value = gathered(frame, plan.x, {}, width, QUARTERS * lanes, first)
            known[index] = bound(flipped(value, plan.flip))
        return known[index]

    def window(first: int) -> list[Expr]:
        """Four pixels interleaved: for each quarter of the channels, four values of each."""
        if ("w", first) not in known:
            pairs = []
            for p in (first, first + 2):
                if ("p", p) not in known:
                    words = f"int16x{2 * lanes}"
                    halves = [bound(interleaved(pixel(p), pixel(p + 1), lanes, high)) for high in (0, 1)]
                    known["p", p] = [tirx.reinterpret(words, half) for half in halves]
                pairs.append(known["p", p])
            known["w", first] = [
                tirx.reinterpret(f"int8x{4 * lanes}", bound(interleaved(pairs[0][i], pairs[1][i], lanes, high)))
                for i in (0, 1) for high in (0, 1)
            ]  # fmt: skip
        return list(known["w", first])

    runs = runs_of(plan.taps)
    shape = shape_of(plan.weight.source)
    rows = frame.load_offset(plan.weight, {**at, plan.channels: block * const(plan.block)})
    # Always zero, but the code generator cannot see it: else it would copy weights that the registers
    # do not hold to the stack, for every row.
    if plan.crowded:
        rows = rows + tirx.min(frame.begin, const(0)) * at[plan.row]
    per_run = shape[-4] * shape[-3] * shape[-2] * shape[-1]
    weights: dict[tuple[int, int], Expr] = {}
    jobs = []
    for t in range(len(sums)):
        place = t * plan.stride
        phase = place % 2
        jobs += [(place - phase + TAPS * run, t, phase * runs[0] + run) for run in range(runs[phase])]
    # A window's outputs together: few registers hold windows at a time.
    for first, t, index in sorted(jobs):
        for v, value in enumerate(window(first)):
            if (index, v) not in weights:
                offset = rows + const(index * per_run + v * plan.block)
                read = frame.vector(plan.weight.source, frame.simplify(offset), 4 * lanes)
                weights[index, v] = bound(read)
            acc = sums[t][v]
            done.append(put(acc, plan.dot.add(get(acc), [value], [weights[index, v]])))
    return done


def _stored(
    plan: _Plan, there: dict[Any, Expr], channels: Axis, sums: list[Any], scales: list[Any], width: int
) -> list[Any]:
    """One output's channels requantised and stored; a value of another kind by way of a local buffer."""
    frame, lanes = plan.frame, shape_of(sums[0])[0]
    done: list[Any] = []
    if plan.end is not None:
        steps = [plan.end.rounded(get(acc), scale) for acc, scale in zip(sums, scales, strict=True)]
        packed = tirx.Var("q", f"{plan.end.dtype}x{QUARTERS * lanes}")
        done.append(tirx.Bind(packed, plan.end.bytes_of(steps)))
        for first, count in pieces(width, QUARTERS * lanes):
            where = {**there, channels.var: there[channels.var] + const(first)}
            done.append(plan.end.put(frame, where, sliced(packed, first, count)))
        return done
    held = local("held", QUARTERS * lanes, "int32")
    places = {place: v * lanes + i for v in range(QUARTERS) for i, place in enumerate(_order(lanes, v))}
    ordered = [const(places[i]) for i in range(QUARTERS * lanes)]
    done += [tirx.AllocBuffer(held), put(held, tirx.Shuffle([get(acc) for acc in sums], ordered))]
    for first, count in pieces(width, QUARTERS * lanes):
        lane = frame.axis("v", count)
        where = {**there, channels.var: there[channels.var] + const(first) + lane}
        store = frame.store(where, tirx.BufferLoad(held, [lane + const(first)]))
        kind = tirx.ForKind.VECTORIZED if count > 1 else tirx.ForKind.UNROLLED
        done.append(loop(lane, count, store, kind))
    return done
