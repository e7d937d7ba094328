"""Sums by packed ternary weights on 64-bit Arm, with and without the instruction that sums four products.

Masked where it lies, field ``s`` of a register is its code times ``4^s``; field 3 comes down by one shift. So
where few sums are made, each has three registers: for fields 0 and 3, for field 1 and for field 2, which meet at
the end by exact shifts. Where many rows share a register of weights, it is decoded first and one sum suffices.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.schedule.dot import intrinsic
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.ternary_run import Run, Sums
from edgepress.targets.compilers.tvm.schedule.vectors import Block, spread

_BYTES = 16  # of a register
_APART = 3  # registers of a sum whose scales are kept apart
_SHIFTS = (0, 2, 4)  # by which each of them is too large
_MOST = 24  # registers for sums; the others hold codes, weights and masks


class LaneSums(Sums):
    """``sdot``: four products of each output are added to its lane, codes taken from a lane of their register."""

    unpacks = 3

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        super().__init__(machine, rows, vectors, unpacked)
        self.scales = _APART if _APART * rows * vectors <= _MOST and not unpacked else 1
        # More runs of a trip share its own instructions; where sums fill the registers, they would spill.
        self.together = 1 if rows * vectors > _MOST - 4 else 4 if vectors <= 2 else 2
        self.sums = {
            (r, c): [local(f"s{r}_{c}_{i}", 4, "int32") for i in range(self.scales)] for r, c in self.places
        }

    @classmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        """Sums fit the registers beside the rows' codes."""
        return 8 if vectors <= 2 else 6

    def begin(self) -> list[Any]:
        return self._zeros([acc for accs in self.sums.values() for acc in accs], "int32")

    def run(self, run: Run) -> list[Any]:
        block = Block()
        decoded = _decoded(run, self.unpacked, self.scales > 1, block)
        rows = len(self.places) // len(decoded)
        words = [block.bound(tirx.reinterpret("int32x4", run.codes(r, 0, _BYTES))) for r in range(rows)]
        # Unpacked weights in the order in which they lie, packed ones a register after the other.
        order = [(c, s) for c in range(len(decoded)) for s in range(FIELDS)]
        for c, s in sorted(order, key=lambda place: place[1]) if self.unpacked else order:
            weights = block.bound(tirx.reinterpret("int8x16", decoded[c][s]))
            for r in range(rows):
                lane = tirx.Broadcast(tirx.Shuffle([words[r]], [const(s)]), 4)
                acc = self.sums[r, c][s % self.scales]
                codes = tirx.reinterpret("int8x16", lane)
                total = intrinsic("int32x4", "llvm.aarch64.neon.sdot", get(acc), weights, codes)
                block.add(put(acc, total))
        return block.statements

    def total(self, row: int, vector: int) -> Expr:
        return _whole([get(acc) for acc in self.sums[row, vector]])


class WideSums(Sums):
    """``smull`` and ``smlal``: a register of weights is one output's, and all its products go to one sum of 16 bits.

    A field times a code reaches 256, and 4,096 at a scale of 16: eight of them fit, which four runs have. Decoded,
    those of sixteen runs fit.

    Tables of the sums of two inputs, looked up by four bits of weights, were tried: 0.28 instructions a weight
    against 0.22, and 1.6 times the cycles in LLVM's models of Cortex-A72 and A53.
    """

    unpacks = 2

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        super().__init__(machine, rows, vectors, unpacked)
        self.rows, self.outputs = rows, vectors * machine.lanes
        self.scales = _APART if rows == 1 and not unpacked else 1
        self.together, self.block = (4, 4) if self.scales > 1 else (1, 16)
        places = [(r, n) for r in range(rows) for n in range(self.outputs)]
        self.short = {
            (r, n): [local(f"h{r}_{n}_{i}", 8, "int16") for i in range(self.scales)] for r, n in places
        }
        self.sums = {(r, n): local(f"s{r}_{n}", 4, "int32") for r, n in places}

    @classmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        """Sums of 16 bits stay in registers; those of 32 need not."""
        return 5

    def begin(self) -> list[Any]:
        return [
            *self._zeros(list(self.sums.values()), "int32"),
            *self._zeros([acc for accs in self.short.values() for acc in accs], "int16"),
        ]

    def run(self, run: Run) -> list[Any]:
        block = Block()
        decoded = _decoded(run, self.unpacked, self.scales > 1, block)
        for s in range(FIELDS):
            weights = [block.bound(tirx.reinterpret("int8x16", each[s])) for each in decoded]
            for r in range(self.rows):
                codes = block.bound(run.codes(r, s * _BYTES, _BYTES))
                for n, weight in enumerate(weights):
                    acc = self.short[r, n][s % self.scales]
                    total = get(acc)
                    for half in range(2):
                        total = total + _half(codes, half) * _half(weight, half)
                    block.add(put(acc, total))
        return block.statements

    def flush(self) -> list[Any]:
        done = []
        for place, acc in self.sums.items():
            whole = _whole([get(each) for each in self.short[place]])
            wide = intrinsic("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", whole)
            done.append(put(acc, get(acc) + wide))
            done += [put(each, spread(tirx.const(0, "int16"), 8)) for each in self.short[place]]
        return done

    def total(self, row: int, vector: int) -> Expr:
        four = [get(self.sums[row, 4 * vector + n]) for n in range(4)]
        return _pairs(_pairs(*four[:2]), _pairs(*four[2:]))


def fields(weights: Expr, in_place: bool) -> list[Expr]:
    """The four fields of each byte of a register: decoded, or the middle ones where they lie."""
    if in_place:
        return [_masked(weights, 3), _masked(weights, 12), _masked(weights, 48), _shifted(weights, 6)]
    middle = [_masked(_shifted(weights, bits), 3) for bits in (2, 4)]
    return [_masked(weights, 3), *middle, _shifted(weights, 6)]


def _decoded(run: Run, unpacked: bool, in_place: bool, block: Block) -> list[list[Expr]]:
    """The fields of each register of a run's weights."""
    if unpacked:
        registers = len(run.weights) // FIELDS
        return [run.weights[i::registers] for i in range(registers)]
    return [fields(block.bound(each), in_place) for each in run.weights]


def _masked(weights: Expr, mask: int) -> Expr:
    return tirx.bitwise_and(weights, spread(tirx.const(mask, "uint8"), _BYTES))


def _shifted(weights: Expr, bits: int) -> Expr:
    return tirx.shift_right(weights, spread(tirx.const(bits, "uint8"), _BYTES))


def _whole(sums: list[Expr]) -> Expr:
    """One sum of those whose scales were kept apart."""
    total = sums[0]
    lanes, kind = int(total.ty.dtype.lanes), str(total.ty.dtype).partition("x")[0]
    for each, shift in zip(sums[1:], _SHIFTS[1:], strict=False):
        total = total + tirx.shift_right(each, spread(tirx.const(shift, kind), lanes))
    return total


def _half(value: Expr, upper: int) -> Expr:
    part = tirx.Shuffle([value], [const(8 * upper + i) for i in range(8)])
    return tirx.Cast("int16x8", part)


def _pairs(a: Expr, b: Expr) -> Expr:
    """Sums of neighbouring lanes, those of ``a`` first."""
    return intrinsic("int32x4", "llvm.aarch64.neon.addp.v4i32", a, b)
