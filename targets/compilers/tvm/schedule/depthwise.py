"""Depthwise convolution in fp32, channels last, over the unpadded input, and that of small groups.

Outputs of groups lie in one vector: for each input of a group, a read of all their inputs is shuffled so
that every output finds its group's.

A few vectors of channels run down the image together. Along a row, one vector's weights stay in
registers, and a tile of neighbouring columns reads each input once. Rows whose window leaves the image
run over fewer kernel rows; columns at the left and right border have tiles of their own. So no padded
copy is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, loads, shape_of, uses
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.start import Start, start_of, started
from edgepress.targets.compilers.tvm.stages import GROUPS, WINDOW, Axis, Nest

_CACHE_SHARE = 24 * 1024  # bytes of the first cache that the rows in use may take
_LINE = 64
_MOST_UNROLLED = 9  # taps whose weights fit in 32 registers beside a tile's sums


@dataclass(frozen=True)
class Dimension:
    """One spatial dimension: output axis, kernel axis, and how they meet the input's extent."""

    out: Axis
    taps: Axis
    extent: int
    stride: int
    dilation: int
    pad: int

    def inside(self, place: int) -> tuple[int, ...]:
        """The taps of an output that fall inside the input."""
        at = [place * self.stride + tap * self.dilation - self.pad for tap in range(self.taps.extent)]
        return tuple(tap for tap, position in enumerate(at) if 0 <= position < self.extent)

    def whole(self) -> tuple[int, int]:
        """The range of outputs whose every tap is inside."""
        full = [p for p in range(self.out.extent) if len(self.inside(p)) == self.taps.extent]
        return (full[0], full[-1] + 1) if full else (0, 0)


@dataclass(frozen=True)
class _Plan:
    nest: Nest
    frame: Frame
    start: Start
    image: Any
    weight: Any
    dims: tuple[Dimension, ...]
    lanes: int
    tile: int
    group: int
    inputs: int
    outputs: int

    @property
    def channel(self) -> Any:
        assert self.nest.anchor is not None
        return self.nest.anchor.spatial[-1]

    def input(self, number: int) -> dict[Any, Expr]:
        """An input of a group, as an index."""
        assert self.nest.anchor is not None
        return {self.nest.anchor.reduction[-1].var: const(number)} if self.inputs > 1 else {}

    def spread(self, offset: Expr, number: int) -> Expr:
        """One input of each group for all its outputs; ``offset`` is that of a vector's first input."""
        span = self.lanes // self.outputs * self.inputs
        value = self.frame.vector(self.image.source, offset, span)
        if self.inputs == self.outputs == 1:
            return value
        lanes = [const(lane // self.outputs * self.inputs + number) for lane in range(self.lanes)]
        return tirx.Shuffle([value] * (self.lanes // span), lanes)  # no fewer lanes in than out


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """Columns × one vector of channels, or None where the nest is no depthwise convolution of fp32."""
    anchor = nest.anchor
    if anchor is None or WINDOW not in anchor.notes or machine.lanes == 1:
        return None
    if dtype_of(anchor.buffer) != "float32":
        return None
    inputs, outputs = (int(number) for number in anchor.notes[GROUPS])
    taps = anchor.reduction[: len(anchor.reduction) - (inputs > 1)]
    inside = tvm_ffi.structural_map(anchor.value, (ir.Call, _first_branch))
    operands = [load for load in loads(inside) if not load.source.same_as(anchor.buffer)]
    if len(operands) != 2:
        return None
    image, weight = sorted(operands, key=lambda load: not uses(load.indices[0], anchor.spatial[0].var))
    settings = [int(number) for number in anchor.notes[WINDOW]]
    count = len(taps)
    shape = shape_of(image.source)
    dims = tuple(
        Dimension(out, tap, shape[1 + d], settings[d], settings[count + d], settings[2 * count + d])
        for d, (out, tap) in enumerate(zip(anchor.spatial[1:-1], taps, strict=True))
    )
    lanes = machine.lanes
    while lanes > anchor.spatial[-1].extent:
        lanes //= 2
    width = dims[-1].out.extent
    most = machine.tiles.depthwise_columns or 1
    tile = -(-width // -(-width // most))
    group = _group(anchor.spatial[-1].extent, dims, lanes)
    plan = _Plan(nest, frame, start_of(nest), image, weight, dims, lanes, tile, group, inputs, outputs)
    return _body(plan, machine)


def _group(channels: int, dims: tuple[Dimension, ...], lanes: int) -> int:
    """Vectors of channels that run down the image together, so that lines and pages are used whole."""
    rows = dims[0].taps.extent + 1 if len(dims) == 2 else 2
    bytes_each = rows * dims[-1].out.extent * dims[-1].stride * lanes * 4
    most = max(_CACHE_SHARE // bytes_each, _LINE // (lanes * 4), 1)
    able = range(1, min(most, channels // lanes) + 1)
    return min(able, key=lambda count: (-(-channels // (count * lanes)) * count, -count))


def _first_branch(call: Any) -> Any:
    return call.args[1] if str(getattr(call.op, "name", "")).endswith("if_then_else") else call


def _body(plan: _Plan, machine: Machine) -> Body:
    """The divided positions are rows of output × vectors of channels; a part works down its rows of one
    vector after another, and mostly finds them where it left them in the kernel before."""
    frame, channel = plan.frame, plan.channel
    assert plan.nest.anchor is not None
    batch = plan.nest.anchor.spatial[0]
    wide = plan.group * plan.lanes
    blocks = -(-channel.extent // wide)
    height = plan.dims[0] if len(plan.dims) == 2 else None
    image, block = frame.axis("n", batch.extent), frame.axis("b", blocks)
    first = frame.axis("c", channel.extent - wide + 1)
    variables = {batch.var: image, channel.var: first}
    # The last group overlaps the one before it, so that no narrower one is needed.
    held = tirx.Bind(first, frame.simplify(tirx.min(block * const(wide), const(channel.extent - wide))))

    begin, end = frame.part_rows(blocks, block)
    if height is None:
        body: list[Any] = [
            tirx.For(image, begin, end - begin, tirx.ForKind.SERIAL, _row(plan, variables, None))
        ]
        return Body(loop(block, blocks, sequence([held, *body])), batch.extent * blocks)
    count = height.out.extent
    steps = height.taps.extent * plan.dims[1].taps.extent * plan.inputs
    unrolled = machine.registers >= 32 and steps <= _MOST_UNROLLED
    low, high = height.whole() if unrolled else (0, 0)
    top = tirx.max(begin - image * const(count), const(0))
    bottom = tirx.min(end - image * const(count), const(count))
    body = []
    at = frame.axis("y", count)
    border = _row(plan, {**variables, height.out.var: at}, rows_inside(height, at))
    if high == low:
        body.append(tirx.For(at, top, bottom - top, tirx.ForKind.SERIAL, border))
    elif count > high - low:
        edge = frame.axis("y", count - (high - low))
        row = edge + tirx.Select(edge < const(low), const(0), const(high - low))
        mine = tirx.And(tirx.GE(at, top), tirx.LT(at, bottom))
        inner = sequence([tirx.Bind(at, row), tirx.IfThenElse(mine, border, None)])
        body.append(loop(edge, count - (high - low), inner))
    if high > low:
        at = frame.axis("y", count)
        start = tirx.max(top, const(low))
        inner = _row(plan, {**variables, height.out.var: at}, None)
        body.append(tirx.For(at, start, tirx.min(bottom, const(high)) - start, tirx.ForKind.SERIAL, inner))
    images = loop(image, batch.extent, sequence(body))
    return Body(loop(block, blocks, sequence([held, images])), batch.extent * count * blocks)


def rows_inside(dim: Dimension, at: Expr) -> tuple[Expr, Expr]:
    """The first tap inside the input, and how many there are, for an output that is known at run time."""
    begin = at * const(dim.stride) - const(dim.pad)
    slack = const(dim.dilation - 1)
    low = tirx.max(tirx.floordiv(slack - begin, const(dim.dilation)), const(0))
    high = tirx.min(
        tirx.floordiv(const(dim.extent) - begin + slack, const(dim.dilation)), const(dim.taps.extent)
    )
    return low, high - low


def _row(plan: _Plan, variables: dict[Any, Expr], rows: tuple[Expr, Expr] | None) -> Any:
    """One row of outputs for each vector of the group."""
    frame, channel = plan.frame, plan.channel.var
    if plan.group == 1:
        return _columns(plan, variables, rows)
    each = frame.axis("g", plan.group)
    first = variables[channel] + each * const(plan.lanes)
    return loop(each, plan.group, _columns(plan, {**variables, channel: first}, rows))


def _columns(plan: _Plan, variables: dict[Any, Expr], rows: tuple[Expr, Expr] | None) -> Any:
    """One row of one vector: tiles alike become a loop, tiles at the borders stand alone."""
    across, frame = plan.dims[-1], plan.frame
    low, high = across.whole()
    starts = list(range(0, across.out.extent, plan.tile))
    runs: list[tuple[int, int, int]] = []  # first column, columns, tiles
    for begin in starts:
        size = min(plan.tile, across.out.extent - begin)
        whole = low <= begin and begin + size <= high
        if runs and whole and low <= runs[-1][0] and runs[-1][1] == size:
            runs[-1] = (runs[-1][0], size, runs[-1][2] + 1)
        else:
            runs.append((begin, size, 1))
    statements = []
    for begin, size, count in runs:
        taps = [across.inside(begin + x) for x in range(size)]
        if count == 1:
            statements.append(_tile(plan, variables, const(begin), taps, rows))
            continue
        var = frame.axis("x", count)
        column = frame.simplify(var * const(size) + const(begin))
        statements.append(loop(var, count, _tile(plan, variables, column, taps, rows)))
    return sequence(statements)


def _tile(
    plan: _Plan,
    variables: dict[Any, Expr],
    column: Expr,
    taps: list[tuple[int, ...]],
    rows: tuple[Expr, Expr] | None,
) -> Any:
    """Neighbouring columns; ``taps`` are the kernel columns inside the input, for each."""
    frame, lanes, across, channel = plan.frame, plan.lanes, plan.dims[-1], plan.channel
    kind = tirx.ForKind.VECTORIZED if lanes > 1 else tirx.ForKind.UNROLLED
    places = [{**variables, across.out.var: frame.simplify(column + const(x))} for x in range(len(taps))]
    sums = [local(f"s{x}", lanes, "float32") for x in range(len(taps))]
    statements: list[Any] = [tirx.AllocBuffer(acc) for acc in sums]
    every = tirx.Ramp(const(0), const(1), lanes) if lanes > 1 else const(0)
    for acc, place in zip(sums, places, strict=True):
        lane = frame.axis("v", lanes)
        there = {**place, channel.var: place[channel.var] + lane}
        statements.append(
            loop(lane, lanes, tirx.BufferStore(acc, started(frame, plan.start, there), [lane]), kind)
        )

    dtype = f"float32x{lanes}" if lanes > 1 else "float32"

    def steps(kernel_row: dict[Any, Expr]) -> list[Any]:
        done: list[Any] = []

        def named(value: Expr) -> Expr:
            var = tirx.Var("x", dtype)
            done.append(tirx.Bind(var, value))
            return var

        for one in range(plan.inputs):
            at = {**kernel_row, **plan.input(one)}
            weights = []
            for tap in range(across.taps.extent):
                offset = frame.load_offset(plan.weight, {**places[0], **at, across.taps.var: const(tap)})
                weights.append(named(frame.vector(plan.weight.source, offset, lanes)))
            users: dict[int, list[tuple[int, int]]] = {}
            for x, own in enumerate(taps):
                for tap in own:
                    users.setdefault(x * across.stride + tap * across.dilation, []).append((x, tap))
            for position in sorted(users):
                x, tap = users[position][0]
                first = {**places[x], **kernel_row, **plan.input(0), across.taps.var: const(tap)}
                value = named(plan.spread(frame.load_offset(plan.image, first), one))
                for x, tap in users[position]:
                    total = tirx.BufferLoad(sums[x], [every]) + value * weights[tap]
                    done.append(tirx.BufferStore(sums[x], total, [every]))
        return done

    if len(plan.dims) == 1:
        statements += steps({})
    elif rows is None:
        for tap in range(plan.dims[0].taps.extent):
            statements += steps({plan.dims[0].taps.var: const(tap)})
    else:
        var = frame.axis("k", plan.dims[0].taps.extent)
        body = sequence(steps({plan.dims[0].taps.var: var}))
        statements.append(tirx.For(var, rows[0], rows[1], tirx.ForKind.SERIAL, body))

    for acc, place in zip(sums, places, strict=True):
        lane = frame.axis("v", lanes)
        there = {**place, channel.var: place[channel.var] + lane}
        value = frame.value(plan.start.value, there, tirx.BufferLoad(acc, [lane]))
        statements.append(loop(lane, lanes, frame.put(there, value), kind))
    return sequence(statements)
