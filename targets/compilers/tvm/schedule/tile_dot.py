"""Quantised convolutions and matrix products by instructions that sum neighbouring products.

A tile of rows × columns of int32 sums lies in registers. Each step reads one register of weights,
``depth`` inputs for each column, and for each row the same inputs spread over all columns.
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.schedule.columns8 import columns_of
from edgepress.targets.compilers.tvm.schedule.contraction import read_contraction, row_space
from edgepress.targets.compilers.tvm.schedule.dot import DOTS, Dot, Load
from edgepress.targets.compilers.tvm.schedule.operands8 import packed_by, row_together, without_offset
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.requantise import Requantise, read_requantise
from edgepress.targets.compilers.tvm.schedule.short_sums import ShortSums, nested
from edgepress.targets.compilers.tvm.schedule.store8 import started, stored
from edgepress.targets.compilers.tvm.schedule.tiling import Plan, tiled
from edgepress.targets.compilers.tvm.stages import DOT, Nest

_LINE = 64
_MOST_AHEAD = 16  # row tiles up to which panels follow so fast that it pays to ask for the next one


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A tiled contraction of packed 8-bit operands, or None where the nest is none."""
    if nest.anchor is None or dtype_of(nest.anchor.buffer) != "int32":
        return None
    dot = DOTS.get(str(nest.anchor.notes.get(DOT, "")))
    if dot is None:
        return None
    plain, columns8 = columns_of(nest.anchor, dot.depth, dot.tiles)
    plain, offset = without_offset(plain)
    contraction = read_contraction(plain)
    if contraction is None or contraction.row_cast != "int32" or contraction.column_cast != "int32":
        return None
    rows, columns = dtype_of(contraction.row), nest.anchor.spatial[-1]
    weight = shape_of(contraction.column.source)
    if dtype_of(contraction.column) != columns8.dtype or len(weight) < 4 or weight[-1] != dot.depth:
        return None
    moved = {("int8", 0): "int8", ("uint8", 0): "uint8", ("int8", 128): "uint8", ("uint8", -128): "int8"}
    if moved.get((rows, offset)) != dot.rows or not row_together(frame, contraction):
        return None
    if not packed_by(frame, contraction, columns, dot.depth):
        return None
    panel = weight[-2]
    space = row_space(nest, frame, contraction)
    terms = prod(axis.extent for axis in plain.reduction)
    most = machine.tiles.dot_rows or dot.tile_rows(machine, panel, terms)
    few = 1 < -(-space.rows // most) <= _MOST_AHEAD
    ahead = few and machine.arch == "x86_64"
    plan = Plan(nest, contraction, space, machine.lanes, panel, most, False, ahead, columns8)
    make_tile = _Tiles(dot, bool(offset), read_requantise(nest, machine), machine.registers).tile
    return tiled(plan, frame, columns, make_tile, machine)


class _Tiles:
    """Makes the tiles of one kernel."""

    def __init__(self, dot: Dot, flip: bool, end: Requantise | None, registers: int) -> None:
        self.dot = dot
        self.flip = flip
        self.end = end
        self.registers = registers

    def more(self, rows: int, vectors: int, lanes: int) -> list[list[list[Any]]]:
        """Sums beside those of a tile, as many times as half of the registers hold them all."""
        times = next(n for n in (FIELDS, 2, 1) if n == 1 or n * rows * vectors <= self.registers // 2)
        return [
            [[local(f"f{n}_{r}_{c}", lanes, "int32") for c in range(vectors)] for r in range(rows)]
            for n in range(1, times)
        ]

    def tile(
        self, plan: Plan, frame: Frame, block: Expr, row: Expr, rows: int, panel: Expr, width: int
    ) -> Any:
        """One tile of ``rows`` × ``width`` sums from ``row`` on."""
        stage, dot = plan.contraction.stage, self.dot
        column, lanes = stage.spatial[-1].var, plan.lanes
        vectors = -(-width // lanes)
        places = [plan.space.place(frame, block, frame.simplify(row + const(r))) for r in range(rows)]
        sums = [[local(f"s{r}_{c}", lanes, "int32") for c in range(vectors)] for r in range(rows)]
        columns = [{column: panel * const(plan.panel) + const(c * lanes)} for c in range(vectors)]
        statements = started(frame, self.end, sums, places, columns, width)
        short = ShortSums(dot.short, sums) if dot.short is not None and plan.columns.gain else None
        into, add = (short.sums, short.short.add) if short is not None else (sums, dot.add)
        statements += short.declared() if short is not None else []
        # Each step of a sum waits for the one before it: few sums come in several, by the fields of a run.
        several = [into]
        if plan.columns.gain and short is None:
            several += self.more(rows, vectors, lanes)
            zero = tirx.Broadcast(const(0), lanes)
            for each in (e for more in several[1:] for row_of in more for e in row_of):
                statements += [tirx.AllocBuffer(each), put(each, zero)]

        inner = stage.reduction[-1]
        variables: dict[Any, Expr] = {}
        loops = []
        for axis in stage.reduction[:-1]:
            variables[axis.var] = frame.axis("k", axis.extent) if axis.extent > 1 else const(0)
            if axis.extent > 1:
                loops.append((variables[axis.var], axis.extent))

        # Always zero, but the code generator cannot see it: else it would read a row once for all panels
        # and taps, and keep it on the stack.
        few = inner.extent <= 4 * dot.step
        apart = (
            const(0)
            if dot.by_element or not few
            else tirx.min(frame.begin, const(0)) * sum([var for var, _ in loops], panel)
        )

        def steps(base: Expr, count: int) -> list[Any]:
            done: list[Any] = []

            def bound(value: Expr) -> Expr:
                var = tirx.Var("v", value.ty)
                done.append(tirx.Bind(var, value))
                return var

            offsets = [
                frame.load_offset(plan.contraction.row, {**variables, **place, inner.var: base}) + apart
                for place in places
            ]
            source = plan.contraction.row.source
            reads = [
                dot.read(_loader(frame, source, start), count, lanes, self.flip, bound) for start in offsets
            ]
            runs: dict[tuple[int, int], Expr] = {}

            def weights_at(c: int, step: int) -> list[Expr]:
                """A vector of columns, ``step`` inputs from the base on."""
                run, within = divmod(step, plan.reading.run)
                if (c, run) not in runs:
                    at = frame.simplify(base + const(step))
                    where = {**variables, **places[0]}
                    read = plan.read_columns(frame, where, panel, at, c * lanes, lanes * dot.depth)
                    runs[c, run] = bound(read) if plan.reading.gain else read
                return [bound(part) for part in dot.weights(plan.reading.register(runs[c, run], within))]

            for first in range(0, count, dot.depth * dot.group):
                group = min(dot.group, (count - first) // dot.depth)
                steps_of = range(first, first + group * dot.depth, dot.depth)
                weights = [[part for at in steps_of for part in weights_at(c, at)] for c in range(vectors)]
                # Registers hold one spread row at a time, or one register of weights at a time.
                places_of = [(r, c) for r in range(rows) for c in range(vectors)]
                if dot.by_element:
                    places_of.sort(key=lambda place: place[1])
                seen: dict[int, list[Expr]] = {}
                for r, c in places_of:
                    if r not in seen:
                        seen[r] = [x for g in range(group) for x in reads[r](first // dot.depth + g)]
                    total = several[first // dot.depth % len(several)][r][c]
                    done.append(put(total, add(get(total), seen[r], weights[c])))
            return done

        def ahead(base: Expr) -> list[Any]:
            """Asks for a line of the next panel's weights, each tile of rows for another one."""
            if not plan.ahead or width < plan.panel:
                return []
            there = {
                **variables,
                **places[0],
                inner.var: base,
                column: (panel + const(1)) * const(plan.panel),
            }
            first = frame.load_offset(plan.contraction.column, there)
            line = tirx.floordiv(row, const(rows)) * const(_LINE)
            return [frame.prefetch(plan.contraction.column.source, frame.simplify(first + line))]

        step = max(dot.step, plan.reading.run)

        def some(first: Expr, count: int) -> list[Any]:
            """What adds ``count`` inputs of the innermost axis from ``first`` on."""
            trips, tail = divmod(count, step)
            parts: list[Any] = []
            if trips == 1:
                parts += steps(first, step)
            elif trips:
                var = frame.axis("k", trips)
                base = frame.simplify(first + var * const(step))
                parts.append(loop(var, trips, sequence([*ahead(base), *steps(base, step)])))
            return parts + (steps(frame.simplify(first + const(trips * step)), tail) if tail else [])

        if short is None:
            statements.append(nested(loops, sequence(some(const(0), inner.extent))))
        else:
            statements += short.inside(frame, loops, inner.extent, step, some)
        for more in several[1:]:
            for r, c in product(range(rows), range(vectors)):
                statements.append(put(sums[r][c], get(sums[r][c]) + get(more[r][c])))
        return sequence(statements + stored(frame, self.end, sums, places, columns, width))


def _loader(frame: Frame, source: Any, start: Expr) -> Load:
    return lambda at, count: frame.vector(source, frame.simplify(start + const(at)), count)
