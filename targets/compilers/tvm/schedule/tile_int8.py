"""Quantised convolutions and matrix products: a tile of rows × columns of int32 sums in registers.

One sum vector of a row spans the whole panel; the code generator splits it over registers and
makes widening multiply-adds from the products of sign-extended 16-bit values.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.columns8 import columns_of
from edgepress.targets.compilers.tvm.schedule.contraction import read_contraction, row_space, steps_by_one
from edgepress.targets.compilers.tvm.schedule.registers import pieces
from edgepress.targets.compilers.tvm.schedule.tile import panel_width, spread
from edgepress.targets.compilers.tvm.schedule.tiling import Plan, contiguous_columns, tiled
from edgepress.targets.compilers.tvm.stages import Nest

_STEPS = 8  # inputs read at once where a multiply-add takes one lane of eight 16-bit values


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A tiled contraction of 8-bit operands, or None where the nest is none."""
    if nest.anchor is None or dtype_of(nest.anchor.buffer) != "int32":
        return None
    plain, columns8 = columns_of(nest.anchor, 1)
    contraction = read_contraction(plain)
    if contraction is None or nest.anchor.spatial[-1].extent < 2:
        return None
    if dtype_of(contraction.row) not in ("int8", "uint8") or dtype_of(contraction.column) != columns8.dtype:
        return None
    if contraction.row_cast != "int32" or contraction.column_cast != "int32":
        return None
    panel, columns = panel_width(machine), nest.anchor.spatial[-1]
    if not contiguous_columns(frame, contraction, columns, panel):
        return None
    vectors = max(1, panel // machine.lanes)
    rows = (
        max(1, (machine.registers - 9) // vectors)
        if machine.by_element
        else max(1, (machine.registers - 4) // vectors)
    )
    plan = Plan(
        nest,
        contraction,
        row_space(nest, frame, contraction),
        machine.lanes,
        panel,
        min(rows, 12),
        machine.by_element,
        columns=columns8,
    )
    return tiled(plan, frame, columns, _tile, machine)


def _tile(plan: Plan, frame: Frame, block: Expr, row: Expr, rows: int, panel: Expr, width: int) -> Any:
    stage = plan.contraction.stage
    column = stage.spatial[-1].var
    # Scalar code keeps one sum a column; vector code lets one sum span the panel.
    chunks = pieces(width, plan.panel if plan.lanes > 1 else 1)
    places = [plan.space.place(frame, block, frame.simplify(row + const(r))) for r in range(rows)]
    sums = [[local(f"s{r}_{c}", lanes, "int32") for c, (_, lanes) in enumerate(chunks)] for r in range(rows)]
    statements: list[Any] = []
    for r in range(rows):
        for c, (_, lanes) in enumerate(chunks):
            statements.append(tirx.AllocBuffer(sums[r][c]))
            statements.append(tirx.BufferStore(sums[r][c], spread(const(0), lanes), [_all(lanes)]))

    reduction = stage.reduction
    inner = reduction[-1]
    variables: dict[Any, Expr] = {}
    loops = []
    for axis in reduction[:-1]:
        variables[axis.var] = frame.axis("k", axis.extent) if axis.extent > 1 else const(0)
        if axis.extent > 1:
            loops.append((variables[axis.var], axis.extent))

    row_load = plan.contraction.row

    def steps(base: Expr, count: int) -> list[Any]:
        done: list[Any] = []
        eight = plan.by_element and count == _STEPS
        eight = eight and steps_by_one(frame, row_load, {**variables, **places[0]}, inner.var, base, _STEPS)
        wide = []
        if eight:
            for r in range(rows):
                offset = frame.load_offset(row_load, {**variables, **places[r], inner.var: base})
                value = tirx.Var(f"x{r}", f"int16x{_STEPS}")
                done.append(
                    tirx.Bind(value, tirx.Cast(value.ty.dtype, frame.vector(row_load.source, offset, _STEPS)))
                )
                wide.append(value)
        kept: dict[int, Any] = {}
        for k in range(count):
            at = {**variables, inner.var: frame.simplify(base + const(k))}
            weights = []
            for first, lanes in chunks:
                if k % plan.reading.run == 0:
                    step = frame.simplify(base + const(k))
                    read = plan.read_columns(frame, {**variables, **places[0]}, panel, step, first, lanes)
                    kept[first] = tirx.Var("v", read.ty) if plan.reading.gain else read
                    if plan.reading.gain:
                        done.append(tirx.Bind(kept[first], read))
                weight = tirx.Var("w", f"int16x{lanes}" if lanes > 1 else "int16")
                byte = plan.reading.register(kept[first], k % plan.reading.run)
                done.append(tirx.Bind(weight, tirx.Cast(weight.ty.dtype, byte)))
                weights.append(weight)
            for r in range(rows):
                if eight:
                    number = tirx.Shuffle([wide[r]], [const(k)])
                else:
                    offset = frame.load_offset(row_load, {**at, **places[r]})
                    number = tirx.Var("x", "int16")
                    done.append(tirx.Bind(number, tirx.Cast("int16", frame.element(row_load.source, offset))))
                for c, (_, lanes) in enumerate(chunks):
                    kind = f"int32x{lanes}" if lanes > 1 else "int32"
                    product = tirx.Cast(kind, spread(number, lanes)) * tirx.Cast(kind, weights[c])
                    held = tirx.BufferLoad(sums[r][c], [_all(lanes)])
                    done.append(tirx.BufferStore(sums[r][c], held + product, [_all(lanes)]))
        return done

    unroll = min(_STEPS if plan.lanes > 1 else plan.reading.run, inner.extent)
    trips, tail = divmod(inner.extent, unroll)
    parts = []
    if trips == 1:
        parts += steps(const(0), unroll)
    else:
        var = frame.axis("k", trips)
        parts.append(loop(var, trips, sequence(steps(var * const(unroll), unroll))))
    if tail:
        parts += steps(const(trips * unroll), tail)
    body = sequence(parts)
    for var, extent in reversed(loops):
        body = loop(var, extent, body)
    statements.append(body)

    for r in range(rows):
        for c, (first, lanes) in enumerate(chunks):
            lane = frame.axis("v", lanes)
            where = {**places[r], column: panel * const(plan.panel) + const(first) + lane}
            store = frame.store(where, tirx.BufferLoad(sums[r][c], [lane]))
            statements.append(
                loop(lane, lanes, store, tirx.ForKind.VECTORIZED if lanes > 1 else tirx.ForKind.UNROLLED)
            )
    return sequence(statements)


def _all(lanes: int) -> Expr:
    return tirx.Ramp(const(0), const(1), lanes) if lanes > 1 else const(0)
