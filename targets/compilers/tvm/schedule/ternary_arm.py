"""Sums of ternary products on 64-bit Arm: weights of two bits decoded in registers, as a tile needs them.

A register of weights holds four fields. Masked where it lies, field ``s`` is its code times ``4^s``: so sums of
fields 0 and 3 (which a shift brings down), of field 1 and of field 2 are kept apart, and meet at the end, divided
by exact shifts. Where many rows share a register of weights, it is decoded once and one sum a row suffices.

Codes are 0, 1 and 2, one more than the weight: whoever asks takes the sum of the row's inputs away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import LoopVariables, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.dot import intrinsic
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.vectors import Block, spread

Inputs = Callable[[int, Expr, int], Expr]  # (row, first input, how many) → int8
Weights = Callable[[Expr, int], Expr]  # (first byte of the panel's, how many) → uint8
Sums = list[list[Expr]]  # of rows, of registers of four outputs: int32

_REGISTER = 16  # bytes
_SUMS = 24  # registers for sums; the others hold inputs, masks and weights
_APART = 3  # scales whose sums are kept apart
_RUNS = 4  # of 64 inputs: at a scale of 16 their products fit 16 bits
_MANY_RUNS = 16  # of 64 inputs: as codes their products fit 16 bits
_SHIFTS = (0, 2, 4, 0)  # by which the sum of a field is too large; field 3 is shifted down


@dataclass(frozen=True)
class Tile:
    """One tile of sums.

    Attributes:
        rows: inputs' rows.
        columns: registers of weights that are read side by side.
        run: inputs that a register of weights covers.
    """

    rows: int
    columns: int
    run: int

    @property
    def outputs(self) -> int:
        """Outputs of a tile, which is what a panel of weights holds."""
        return self.columns * (_REGISTER * 4 // self.run)


def apart(codes: Expr) -> list[Expr]:
    """The four fields of a register: 0 to 2 where they lie, 3 shifted down."""
    return [_field(codes, 3), _field(codes, 12), _field(codes, 48), _shifted(codes, 6)]


def decoded(codes: Expr) -> list[Expr]:
    """The four fields of a register as codes."""
    return [_field(codes, 3), _field(_shifted(codes, 2), 3), _field(_shifted(codes, 4), 3), _shifted(codes, 6)]


def _field(codes: Expr, mask: int) -> Expr:
    return tirx.bitwise_and(codes, spread(tirx.const(mask, "uint8"), _REGISTER))


def _shifted(codes: Expr, bits: int) -> Expr:
    return tirx.shift_right(codes, spread(tirx.const(bits, "uint8"), _REGISTER))


class Dots:
    """By the instruction that sums four neighbouring products (``sdot``): runs of 16 inputs."""

    RUN = 16
    UNROLLED = 2  # runs of a trip

    @staticmethod
    def tile(rows: int) -> Tile:
        """The tile for some rows."""
        columns = {1: 4, 2: 4, 3: 2, 4: 4, 5: 4, 6: 4, 7: 3, 8: 3}.get(rows, 2)
        return Tile(rows, columns, Dots.RUN)

    @staticmethod
    def sums(frame: LoopVariables, tile: Tile, runs: int, x: Inputs, w: Weights) -> tuple[list[Any], Sums]:
        """Statements, and the sums that they leave, over ``runs`` runs of a panel's weights."""
        scales = _APART if _APART * tile.rows * tile.columns <= _SUMS else 1
        sums = [
            [[local(f"s{r}_{c}", 4, "int32") for _ in range(scales)] for c in range(tile.columns)]
            for r in range(tile.rows)
        ]
        block = Block()
        for acc in (acc for row in sums for accs in row for acc in accs):
            block.add(tirx.AllocBuffer(acc))
            block.add(put(acc, spread(const(0), 4)))

        def step(run: Expr) -> list[Any]:
            inner = Block()
            rows = [
                inner.bound(tirx.reinterpret("int32x4", x(r, run * const(Dots.RUN), _REGISTER)))
                for r in range(tile.rows)
            ]
            for c in range(tile.columns):
                codes = inner.bound(w((run * const(tile.columns) + const(c)) * const(_REGISTER), _REGISTER))
                for s, field in enumerate(apart(codes) if scales > 1 else decoded(codes)):
                    weights = inner.bound(tirx.reinterpret("int8x16", field))
                    for r in range(tile.rows):
                        acc = sums[r][c][s % scales]
                        lane = tirx.Broadcast(tirx.Shuffle([rows[r]], [const(s)]), 4)
                        inputs = tirx.reinterpret("int8x16", lane)
                        total = intrinsic(
                            "int32x4", "llvm.aarch64.neon.sdot", get(acc), weights, inputs
                        )
                        inner.add(put(acc, total))
            return inner.statements

        block.statements += unrolled(frame, runs, Dots.UNROLLED, step)
        return block.statements, [[_whole([get(acc) for acc in accs]) for accs in row] for row in sums]


def _whole(sums: list[Expr]) -> Expr:
    """One sum of those kept apart."""
    total = sums[0]
    for each, shift in zip(sums[1:], _SHIFTS[1:], strict=False):
        lanes, kind = int(each.ty.dtype.lanes), str(each.ty.dtype).partition("x")[0]
        total = total + tirx.shift_right(each, spread(tirx.const(shift, kind), lanes))
    return total


def unrolled(
    frame: LoopVariables, count: int, together: int, step: Callable[[Expr], list[Any]], first: Expr | None = None
) -> list[Any]:
    """A loop over ``count`` steps from ``first`` on, some of them in each trip, and the rest behind it."""
    whole, tail = divmod(count, together)
    start = const(0) if first is None else first
    done: list[Any] = []
    if whole > 1:
        var = frame.axis("k", whole)
        steps = [s for i in range(together) for s in step(start + var * const(together) + const(i))]
        done.append(loop(var, whole, sequence(steps)))
    for i in range(0 if whole == 1 else whole * together, count):
        done += step(start + const(i))
    return done


class Products:
    """By widening multiply-adds (``smull``, ``smlal``) where there is no dot product: runs of 64 inputs.

    A register of weights belongs to one output, so both halves of its products go to one sum of 16 bits. A code
    times an input reaches 256, and 4,096 at a scale of 16: eight of them fit, those of four runs. Then the
    scales meet in 16 bits, and go on in 32.
    """

    RUN = 64

    @staticmethod
    def tile(rows: int) -> Tile:
        """The tile for some rows."""
        return Tile(rows, 4, Products.RUN)

    @staticmethod
    def sums(frame: LoopVariables, tile: Tile, runs: int, x: Inputs, w: Weights) -> tuple[list[Any], Sums]:
        """Statements, and the sums that they leave, over ``runs`` runs of a panel's weights."""
        scales = _APART if tile.rows == 1 else 1
        together = _RUNS if scales > 1 else _MANY_RUNS
        places = [(r, c) for r in range(tile.rows) for c in range(tile.columns)]
        sums = {place: local("s", 4, "int32") for place in places}
        block = Block()
        for acc in sums.values():
            block.add(tirx.AllocBuffer(acc))
            block.add(put(acc, spread(const(0), 4)))

        def trip(first: Expr, count: int) -> list[Any]:
            small = {place: [local("t", 8, "int16") for _ in range(scales)] for place in places}
            outer = Block()
            for acc in (acc for accs in small.values() for acc in accs):
                outer.add(tirx.AllocBuffer(acc))
                outer.add(put(acc, spread(tirx.const(0, "int16"), 8)))

            def step(run: Expr) -> list[Any]:
                inner = Block()
                fields = []
                for c in range(tile.columns):
                    codes = inner.bound(w((run * const(tile.columns) + const(c)) * const(_REGISTER), _REGISTER))
                    fields.append(apart(codes) if scales > 1 else decoded(codes))
                for s in range(4):
                    weights = [inner.bound(tirx.reinterpret("int8x16", each[s])) for each in fields]
                    for r in range(tile.rows):
                        at = run * const(Products.RUN) + const(s * _REGISTER)
                        inputs = inner.bound(x(r, at, _REGISTER))
                        for c in range(tile.columns):
                            acc = small[r, c][s % scales]
                            inner.add(put(acc, _multiplied(get(acc), inputs, weights[c])))
                return inner.statements

            outer.statements += unrolled(frame, count, _RUNS if scales > 1 else 1, step, first)
            for place, accs in small.items():
                total = get(sums[place]) + _widened(_whole([get(acc) for acc in accs]))
                outer.add(put(sums[place], total))
            return outer.statements

        whole, tail = divmod(runs, together)
        if whole:
            var = frame.axis("b", whole)
            block.add(loop(var, whole, sequence(trip(var * const(together), together))))
        if tail:
            block.statements += trip(const(whole * together), tail)
        result: Sums = []
        for r in range(tile.rows):
            row = [get(sums[r, c]) for c in range(tile.columns)]
            while len(row) > tile.columns // 4:
                row = [_pairwise(*row[i : i + 2]) for i in range(0, len(row), 2)]
            result.append(row)
        return block.statements, result


def _half(value: Expr, upper: int) -> Expr:
    part = tirx.Shuffle([value], [const(8 * upper + i) for i in range(8)])
    return tirx.Cast("int16x8", part)


def _multiplied(acc: Expr, a: Expr, b: Expr) -> Expr:
    return acc + _half(a, 0) * _half(b, 0) + _half(a, 1) * _half(b, 1)


def _widened(value: Expr) -> Expr:
    return intrinsic("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", value)


def _pairwise(a: Expr, b: Expr) -> Expr:
    return intrinsic("int32x4", "llvm.aarch64.neon.addp.v4i32", a, b)
