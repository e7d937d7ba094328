"""Products of eight-bit codes by ternary weights, four of them in a byte, by the instruction set's own sums.

A tile of rows × columns of sums lies in registers. Each register of weights is read once for all rows;
:mod:`ternary_sums` says what is done with its fields.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.dynamic_form import DIGITS, MOST_UNPACKED, TERNARY, TOGETHER
from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, loads, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.contraction import RowSpace
from edgepress.targets.compilers.tvm.schedule.registers import put
from edgepress.targets.compilers.tvm.schedule.store8 import stored
from edgepress.targets.compilers.tvm.schedule.ternary_run import Run, Sums
from edgepress.targets.compilers.tvm.schedule.ternary_sums import sums_of
from edgepress.targets.compilers.tvm.schedule.ternary_sums_arm import fields
from edgepress.targets.compilers.tvm.schedule.vectors import Block
from edgepress.targets.compilers.tvm.stages import Nest

_AHEAD = 4096  # bytes of weights that are asked for early: a page
_LINE = 64
_MOST_AHEAD = 4  # row tiles up to which weights are asked for early: with more they have come already


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """Tiles of sums by packed ternary weights, or None where the nest is none or no instructions are known."""
    if nest.anchor is None or nest.kind != TERNARY:
        return None
    how = sums_of(machine, int(nest.anchor.notes[DIGITS]))
    return _Tiles(nest, frame, machine, how).body() if how is not None else None


class _Tiles:
    """Makes the tiles of one kernel."""

    def __init__(self, nest: Nest, frame: Frame, machine: Machine, how: type[Sums]) -> None:
        anchor = nest.anchor
        assert anchor is not None
        self.nest, self.frame, self.how = nest, frame, how
        self.codes, self.weight = (
            next(load.source for load in loads(anchor.value) if dtype_of(load.source) == kind)
            for kind in ("int8", "uint8")
        )
        panels, self.runs, self.width, self.each = shape_of(self.weight)
        self.machine, self.lanes = machine, machine.lanes
        self.vectors = self.width // self.lanes
        self.terms = shape_of(self.codes)[-1]
        self.digits, self.together = (int(anchor.notes[name]) for name in (DIGITS, TOGETHER))
        self.column = anchor.spatial[-1]
        self.space = RowSpace((), anchor.spatial[:-1])
        self.panels = panels
        self.most = how.most_rows(machine, self.vectors)
        self.tiles = -(-self.space.rows // self.most)
        self.ahead = machine.arch == "x86_64" and self.tiles <= _MOST_AHEAD
        size = self.digits * self.runs * self.width * self.each
        many = 0 < how.unpacks <= self.tiles and size <= MOST_UNPACKED
        self.unpacked = local("unpacked", size, "uint8") if many else None

    def body(self) -> Body:
        """Parts divide the panels, and the tiles of rows within each."""
        frame, rows, tiles = self.frame, self.space.rows, self.tiles
        full, left = divmod(self.column.extent, self.width)

        def tile(panel: Expr, within: Expr, width: int) -> Any:
            made = tile_of(panel, within, width)
            if self.unpacked is None:
                return made
            first = tirx.max(frame.begin - panel * const(tiles), const(0))
            return sequence([tirx.IfThenElse(tirx.EQ(within, first), self._unpack(panel), None), made])

        def tile_of(panel: Expr, within: Expr, width: int) -> Any:
            small, extra = divmod(rows, tiles)
            if not extra:
                return self._tile(panel, frame.simplify(within * const(small)), small, width, tiles)
            large = self._tile(panel, frame.simplify(within * const(small + 1)), small + 1, width, tiles)
            first = frame.simplify(within * const(small) + const(extra))
            rest = self._tile(panel, first, small, width, tiles)
            return tirx.IfThenElse(tirx.LT(within, const(extra)), large, rest)

        statements = [] if self.unpacked is None else [tirx.AllocBuffer(self.unpacked)]
        if full:
            statements.append(frame.part_grid(full, tiles, lambda p, w: tile(p, w, self.width)))
        if left:
            statements.append(
                frame.part_row(full * tiles, tiles, 1, lambda within: tile(const(full), within, left))
            )
        most = -(-rows // tiles)
        shape = f"int8 {rows}x{self.column.extent} of {self.terms}"
        return Body(sequence(statements), self.panels * tiles, f"{most}x{self.width}", shape)

    def _tile(self, panel: Expr, first: Expr, rows: int, width: int, tiles: int) -> Any:
        frame, lanes = self.frame, self.lanes
        used = -(-width // lanes)
        sums = self.how(self.machine, rows, used, self.unpacked is not None)
        statements = sums.begin()
        register, wide = 4 * lanes, used * lanes * self.each

        def run(number: Expr) -> list[Any]:
            start = (panel * const(self.runs) + number) * const(self.width * self.each)
            done: list[Any] = []
            if self.ahead:
                for at in range(0, wide, _LINE):
                    there = frame.simplify(start + const(at + _AHEAD))
                    done.append(frame.prefetch(self.weight, there))
            if self.unpacked is None:
                weights = [
                    frame.vector(self.weight, frame.simplify(start + const(at)), register)
                    for at in range(0, wide, register)
                ]
            else:
                held = number * const(self.digits * self.width * self.each)
                weights = [
                    tirx.BufferLoad(self.unpacked, [tirx.Ramp(held + const(place + at), const(1), register)])
                    for place in range(0, self.digits * self.width * self.each, self.width * self.each)
                    for at in range(0, wide, register)
                ]

            def codes(row: int, at: int, count: int) -> Expr:
                # A run lies together, whether rows do or not.
                start = number * const(self.digits * self.each)
                block = tirx.floordiv(start, const(self.together)) * const(self.space.rows * self.together)
                within = (first + const(row)) * const(self.together) + tirx.floormod(
                    start, const(self.together)
                )
                return frame.vector(self.codes, frame.simplify(block + within + const(at)), count)

            return done + sums.run(Run(weights, codes, lanes))

        block = sums.block or self.runs
        blocks, rest = divmod(self.runs, block)
        if blocks:
            outer = frame.axis("o", blocks)
            each = self._runs(sums.together, block, outer * const(block), run)
            statements.append(loop(outer, blocks, sequence([*each, *sums.flush()])))
        if rest:
            statements += [*self._runs(sums.together, rest, const(blocks * block), run), *sums.flush()]
        totals = [[local(f"t{r}_{c}", lanes, "int32") for c in range(used)] for r in range(rows)]
        for r in range(rows):
            for c in range(used):
                statements += [tirx.AllocBuffer(totals[r][c]), put(totals[r][c], sums.total(r, c))]
        places = [self.space.place(frame, const(0), frame.simplify(first + const(r))) for r in range(rows)]
        columns = [{self.column.var: panel * const(self.width) + const(c * lanes)} for c in range(used)]
        return sequence(statements + stored(frame, None, totals, places, columns, width))

    def _unpack(self, panel: Expr) -> Any:
        """The statement that unpacks the weights of a panel."""
        frame, size, wide = self.frame, 4 * self.lanes, self.width * self.each
        run, block = frame.axis("u", self.runs), Block()
        start = (panel * const(self.runs) + run) * const(wide)
        for at in range(0, wide, size):
            packed = block.bound(frame.vector(self.weight, frame.simplify(start + const(at)), size))
            for s, field in enumerate(fields(packed, False)):
                place = run * const(self.digits * wide) + const(s * wide + at)
                block.add(tirx.BufferStore(self.unpacked, field, [tirx.Ramp(place, const(1), size)]))
        return loop(run, self.runs, sequence(block.statements))

    def _runs(self, together: int, count: int, first: Expr, run: Any) -> list[Any]:
        """A loop over runs, some of them in each trip, and those left over behind it."""
        trips = count // together
        done: list[Any] = []
        if trips > 1:
            var = self.frame.axis("k", trips)
            start = first + var * const(together)
            steps = [step for i in range(together) for step in run(start + const(i))]
            done.append(loop(var, trips, sequence(steps)))
        for i in range(0 if trips == 1 else trips * together, count):
            done += run(first + const(i))
        return done
