"""Convolutions and matrix products: a tile of rows × columns of sums held in registers.

Each step of the sum reads one vector of columns and, for each row, one number that multiplies it.
Row tiles are balanced (7 rows are 4 + 3, never 6 + 1); columns left over take narrower vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.contraction import (
    SumAxis,
    read_contraction,
    row_space,
    sum_axis,
)
from edgepress.targets.compilers.tvm.schedule.registers import pieces
from edgepress.targets.compilers.tvm.schedule.start import start_of, started
from edgepress.targets.compilers.tvm.schedule.tiling import Plan, contiguous_columns, tiled
from edgepress.targets.compilers.tvm.stages import Nest, Stage

_LINE = 64
_PANEL_BYTES = 320 * 1024  # of columns, above which two panels are too many for the second cache
_MOST_AHEAD = 40  # row tiles up to which columns come from far often enough to ask for them early
_LEAST_SHARED = 16  # lanes from which a half vector is worth sharing a register
_MOST_WHOLE = 12  # steps of a sum up to which it has no loop


def panel_width(machine: Machine) -> int:
    """Columns of one tile, and so of a panel of packed weights."""
    return machine.lanes * (machine.tiles.vectors or 1)


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A tiled contraction in fp32, or None where the nest is none."""
    if nest.anchor is None or dtype_of(nest.anchor.buffer) != "float32":
        return None
    contraction = read_contraction(nest.anchor)
    if contraction is None or contraction.row_cast or contraction.column_cast:
        return None
    if nest.anchor.spatial[-1].extent < 2:
        return None
    space = row_space(nest, frame, contraction)
    panel = panel_width(machine)
    columns = nest.anchor.spatial[-1]
    if not contiguous_columns(frame, contraction, columns, panel):
        return None
    plan = Plan(nest, contraction, space, machine.lanes, panel, machine.tiles.rows or 1,
                machine.by_element, machine.arch == "x86_64")  # fmt: skip
    return tiled(plan, frame, columns, _tile, machine)


@dataclass(frozen=True)
class _Slot:
    """Where the sums of a row and a vector of columns lie: from lane ``first`` on."""

    buffer: Any
    first: int
    lanes: int

    @property
    def shared(self) -> bool:
        return shape_of(self.buffer) != (self.lanes,)


def _tile(plan: Plan, frame: Frame, block: Expr, row: Expr, rows: int, panel: Expr, width: int) -> Any:
    stage = plan.contraction.stage
    column = stage.spatial[-1].var
    chunks = pieces(width, plan.lanes)
    places = [plan.space.place(frame, block, frame.simplify(row + const(r))) for r in range(rows)]
    halves = _halves(plan, chunks)
    slots = [
        [_Slot(local(f"s{r}_{c}", lanes, "float32"), 0, lanes) for c, (_, lanes) in enumerate(chunks)]
        for r in range(rows)
    ]
    for r in range(0, rows - 1, 2):
        for c in halves:
            lanes = chunks[c][1]
            both = local(f"s{r}_{c}", 2 * lanes, "float32")
            slots[r][c], slots[r + 1][c] = _Slot(both, 0, lanes), _Slot(both, lanes, lanes)
    start = start_of(plan.nest)
    statements: list[Any] = []
    for r in range(rows):
        for c, (first, lanes) in enumerate(chunks):
            slot = slots[r][c]
            if slot.first == 0:
                statements.append(tirx.AllocBuffer(slot.buffer))
            lane = frame.axis("v", lanes)
            where = {**places[r], column: panel * const(plan.panel) + const(first) + lane}
            init = tirx.BufferStore(slot.buffer, started(frame, start, where), [lane + const(slot.first)])
            statements.append(loop(lane, lanes, init, _kind(lanes)))

    inner = sum_axis(frame, plan.contraction)
    variables: dict[Any, Expr] = {}
    loops = []
    for axis in stage.reduction[: -len(inner.axes)]:
        variables[axis.var] = frame.axis("k", axis.extent) if axis.extent > 1 else const(0)
        if axis.extent > 1:
            loops.append((variables[axis.var], axis.extent))

    def steps(base: Expr, count: int) -> list[Any]:
        done: list[Any] = []
        lane_read = (
            plan.by_element and count == 4 and _adjoining(plan, frame, inner, {**variables, **places[0]})
        )
        quads = []
        if lane_read:
            for r in range(rows):
                there = {**variables, **places[r], **inner.place(frame, base)}
                offset = frame.load_offset(plan.contraction.row, there)
                quad = tirx.Var(f"x{r}", "float32x4")
                done.append(tirx.Bind(quad, frame.vector(plan.contraction.row.source, offset, 4)))
                quads.append(quad)
        for k in range(count):
            at = {**variables, **inner.place(frame, frame.simplify(base + const(k)))}
            weights = []
            for first, lanes in chunks:
                where = {**at, **places[0], column: frame.simplify(panel * const(plan.panel) + const(first))}
                offset = frame.load_offset(plan.contraction.column, where)
                weight = tirx.Var("w", f"float32x{lanes}" if lanes > 1 else "float32")
                done.append(tirx.Bind(weight, frame.vector(plan.contraction.column.source, offset, lanes)))
                weights.append(weight)
            numbers: list[Any] = []
            for r in range(rows):
                if lane_read:
                    number = tirx.Shuffle([quads[r]], [const(k)])
                else:
                    offset = frame.load_offset(plan.contraction.row, {**at, **places[r]})
                    number = tirx.Var("x", "float32")
                    done.append(tirx.Bind(number, frame.element(plan.contraction.row.source, offset)))
                numbers.append(number)
                for c, (_, lanes) in enumerate(chunks):
                    slot = slots[r][c]
                    if not slot.shared:
                        done.append(_add(slot.buffer, lanes, spread(number, lanes) * weights[c]))
                    elif slot.first:
                        product = _joined(numbers[r - 1], number, lanes) * _twice(weights[c], lanes)
                        done.append(_add(slot.buffer, 2 * lanes, product))
        return done

    unroll = _unrolled(plan, inner.extent)

    batched = plan.space.batched(plan.contraction)
    tiles = (1 if batched else plan.space.blocks) * -(-plan.space.rows // plan.rows)
    each = 0
    close = _terms(stage) * plan.panel * 4 <= _PANEL_BYTES
    if (
        plan.ahead
        and close
        and 1 < tiles <= _MOST_AHEAD
        and width == plan.panel
        and inner.extent > _MOST_WHOLE
    ):
        lines = unroll * width * 4 // _LINE
        each = -(-lines // tiles)
        number = frame.axis("n", tiles)
        statements.append(tirx.Bind(number, frame.simplify(tirx.floordiv(row, const(rows)))))

    def ahead(base: Expr) -> list[Any]:
        where = {**variables, **places[0], **inner.place(frame, base), column: panel * const(plan.panel)}
        offset = frame.load_offset(
            plan.contraction.column, {**where, column: (panel + const(1)) * const(plan.panel)}
        )
        floats = _LINE // 4
        return [
            frame.prefetch(
                plan.contraction.column.source, offset + (number * const(each) + const(j)) * const(floats)
            )
            for j in range(each)
        ]

    def quads_of(base: Expr, count: int) -> list[Any]:
        return [step for at in range(0, count, 4) for step in steps(base + const(at), min(4, count - at))]

    trips, tail = divmod(inner.extent, unroll)
    parts = []
    if trips == 1:
        parts += quads_of(const(0), unroll)
    else:
        var = frame.axis("k", trips)
        trip = quads_of(var * const(unroll), unroll)
        parts.append(loop(var, trips, sequence([*ahead(var * const(unroll)), *trip])))
    if tail:
        parts += quads_of(const(trips * unroll), tail)
    body = sequence(parts)
    for var, extent in reversed(loops):
        body = loop(var, extent, body)
    statements.append(body)

    for r in range(rows):
        for c, (first, lanes) in enumerate(chunks):
            lane = frame.axis("v", lanes)
            where = {**places[r], column: panel * const(plan.panel) + const(first) + lane}
            held = tirx.BufferLoad(slots[r][c].buffer, [lane + const(slots[r][c].first)])
            store = frame.put(where, frame.value(start.value, where, held))
            statements.append(loop(lane, lanes, store, _kind(lanes)))
    return sequence(statements)


def _terms(stage: Stage) -> int:
    total = 1
    for axis in stage.reduction:
        total *= axis.extent
    return total


def _unrolled(plan: Plan, extent: int) -> int:
    """Steps of the sum in one trip of its loop."""
    if plan.lanes == 1:
        return 1
    if extent <= (_MOST_WHOLE if plan.by_element else 4):
        return extent
    return 8 if plan.by_element and extent % 8 in (0, 4) else 4


def _adjoining(plan: Plan, frame: Frame, inner: SumAxis, variables: dict[Any, Expr]) -> bool:
    """Whether four steps of the sum read four neighbours of a row."""
    step = frame.axis("t", max(1, inner.extent - 3))
    row = plan.contraction.row
    first = frame.load_offset(row, {**variables, **inner.place(frame, step)})
    last = frame.load_offset(row, {**variables, **inner.place(frame, step + const(3))})
    gap = frame.simplify(last - first)
    return isinstance(gap, tirx.IntImm) and int(gap) == 3


def spread(value: Expr, lanes: int) -> Expr:
    """One number in every lane."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def _kind(lanes: int) -> Any:
    return tirx.ForKind.VECTORIZED if lanes > 1 else tirx.ForKind.UNROLLED


def _halves(plan: Plan, chunks: list[tuple[int, int]]) -> list[int]:
    """Half vectors beside whole ones: two rows of them share a register."""
    if plan.by_element or plan.lanes < _LEAST_SHARED or len(chunks) == 1:
        return []
    return [c for c, (_, lanes) in enumerate(chunks) if 2 * lanes == plan.lanes]


def _joined(low: Expr, high: Expr, lanes: int) -> Expr:
    """One number in the lower lanes, another in the upper; both are spread already for whole vectors."""
    return tirx.Shuffle([spread(low, lanes), spread(high, lanes)], [const(i) for i in range(2 * lanes)])


def _twice(value: Expr, lanes: int) -> Expr:
    return tirx.Shuffle([value, value], [const(i) for i in range(2 * lanes)])


def _add(buffer: Any, lanes: int, value: Expr) -> Any:
    where = [tirx.Ramp(const(0), const(1), lanes) if lanes > 1 else const(0)]
    return tirx.BufferStore(buffer, tirx.BufferLoad(buffer, where) + value, where)
