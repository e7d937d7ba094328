"""Products of codes by ternary weights where code is scalar: several sums in one word, in fields of 16 bits.

A shift and a mask leave one weight plus one, 0 to 2, in each field of a word. A multiplication by a code then
adds as many products to as many sums, of whichever sign: fields borrow from one another, and give it back when
they are taken apart. Products of 127 inputs would fit.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.dynamic_form import TERNARY
from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of, loads, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import WORD_FIELD, WORD_WEIGHTS
from edgepress.targets.compilers.tvm.schedule.contraction import RowSpace
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.vectors import Block
from edgepress.targets.compilers.tvm.stages import Nest

_INPUTS = 124  # 2 · 128 · 124 < 2^15, and loops that the C compiler unrolls come out even


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """Sums by weights packed in words, or None where the nest is none of these."""
    if nest.anchor is None or nest.kind != TERNARY:
        return None
    codes, weight = (
        next((load.source for load in loads(nest.anchor.value) if dtype_of(load.source) in kinds), None)
        for kinds in (("int8",), ("uint32", "uint64"))
    )
    return None if weight is None else _Words(nest, frame, codes, weight).body()


class _Words:
    """Makes the code of one kernel."""

    def __init__(self, nest: Nest, frame: Frame, codes: Any, weight: Any) -> None:
        anchor = nest.anchor
        assert anchor is not None
        self.frame, self.codes, self.weight = frame, codes, weight
        self.panels, self.terms = shape_of(weight)
        self.kind = dtype_of(weight).removeprefix("u")
        bits = int(self.kind.removeprefix("int"))
        self.fields = bits // WORD_FIELD
        self.outputs = self.fields * WORD_WEIGHTS
        self.column, self.space = anchor.spatial[-1], RowSpace((), anchor.spatial[:-1])
        self.most = min(self.space.rows, 2 if bits == 64 else 1)
        # How many of a row's sums fit the registers.
        self.together = WORD_WEIGHTS if bits == 64 and self.most == 1 else WORD_WEIGHTS // 2

    def body(self) -> Body:
        """Parts divide the panels."""
        frame, rows = self.frame, self.space.rows
        full, left = divmod(self.column.extent, self.outputs)

        def all_rows(panel: Expr, width: int) -> Any:
            pairs, one = divmod(rows, self.most)
            done = []
            if pairs:
                var = frame.axis("r", pairs)
                done.append(loop(var, pairs, self._tile(panel, var * const(self.most), self.most, width)))
            if one:
                done.append(self._tile(panel, const(rows - one), one, width))
            return sequence(done)

        statements = []
        if full:
            statements.append(frame.part_row(0, full, 1, lambda panel: all_rows(panel, self.outputs)))
        if left:
            statements.append(frame.part_row(full, 1, 1, lambda _: all_rows(const(full), left)))
        shape = f"int8 {rows}x{self.column.extent} of {self.terms}"
        return Body(sequence(statements), self.panels, f"{min(rows, self.most)}x{self.outputs}", shape)

    def _tile(self, panel: Expr, first: Expr, rows: int, width: int) -> Any:
        frame = self.frame
        totals = [local(f"t{r}", self.outputs, "int32") for r in range(rows)]
        sums = [[local(f"s{r}_{t}", 1, self.kind) for t in range(WORD_WEIGHTS)] for r in range(rows)]
        done = [tirx.AllocBuffer(each) for each in (*totals, *(acc for row in sums for acc in row))]
        for total in totals:
            var = frame.axis("n", self.outputs)
            done.append(loop(var, self.outputs, tirx.BufferStore(total, const(0), [var])))
        blocks, rest = divmod(self.terms, _INPUTS)
        if blocks:
            var = frame.axis("b", blocks)
            done.append(
                loop(var, blocks, self._block(panel, first, var * const(_INPUTS), _INPUTS, sums, totals))
            )
        if rest:
            done.append(self._block(panel, first, const(blocks * _INPUTS), rest, sums, totals))
        for r in range(rows):
            var = frame.axis("n", width)
            place = self.space.place(frame, const(0), frame.simplify(first + const(r)))
            where = {**place, self.column.var: panel * const(self.outputs) + var}
            done.append(loop(var, width, frame.store(where, tirx.BufferLoad(totals[r], [var]))))
        return sequence(done)

    def _block(self, panel: Expr, first: Expr, start: Expr, count: int, sums: Any, totals: Any) -> Any:
        """A block of inputs, some of the sums at a time."""
        frame = self.frame
        mask = tirx.const(sum(3 << (WORD_FIELD * f) for f in range(self.fields)), self.kind)
        done: list[Any] = []
        for some in range(0, WORD_WEIGHTS, self.together):
            places = range(some, some + self.together)
            done += [put(row[t], tirx.const(0, self.kind)) for row in sums for t in places]
            var, block = frame.axis("k", count), Block()
            at = frame.simplify(panel * const(self.terms) + start + var)
            word = block.bound(tirx.Cast(self.kind, frame.element(self.weight, at)))
            codes = []
            for r in range(len(sums)):
                place = frame.simplify((first + const(r)) * const(self.terms) + start + var)
                codes.append(block.bound(tirx.Cast(self.kind, frame.element(self.codes, place))))
            for t in places:
                shifted = tirx.shift_right(word, tirx.const(2 * t, self.kind)) if t else word
                weights = block.bound(tirx.bitwise_and(shifted, mask))
                for row, code in zip(sums, codes, strict=True):
                    block.add(put(row[t], get(row[t]) + weights * code))
            done.append(loop(var, count, sequence(block.statements)))
        for row, total in zip(sums, totals, strict=True):
            for t in range(WORD_WEIGHTS):
                done += self._apart(get(row[t]), total, t)
        return sequence(done)

    def _apart(self, value: Expr, total: Any, t: int) -> list[Any]:
        """Statements that add the fields of a word to their sums."""
        block = Block()
        bits = tirx.const(WORD_FIELD, self.kind)
        for f in range(self.fields):
            last = f == self.fields - 1
            field = value if last else block.bound(tirx.Cast("int16", value))
            at = const(t * self.fields + f)
            wide = tirx.Cast("int32", field)
            block.add(tirx.BufferStore(total, tirx.BufferLoad(total, [at]) + wide, [at]))
            if not last:
                value = block.bound(tirx.shift_right(value - tirx.Cast(self.kind, field), bits))
        return block.statements
