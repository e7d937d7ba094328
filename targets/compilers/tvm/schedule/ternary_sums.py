"""How an instruction set sums codes times the fields of packed ternary weights, one class an instruction.

Fields hold the weight plus one: 0, 1, 2. Whoever reads the totals takes the sum of the codes away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.dynamic_form import looks_up
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import DIGITS, FIELDS, four_of_five
from edgepress.targets.compilers.tvm.schedule.dot import intrinsic, pair_sums, quad_sums, word_sums
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.ternary_run import Run, Sums, bytes_of
from edgepress.targets.compilers.tvm.schedule.ternary_sums_arm import LaneSums, WideSums
from edgepress.targets.compilers.tvm.schedule.vectors import Block, spread

_FIFTH = 3**FIELDS  # what the fifth weight of a byte counts


class QuadSums(Sums):
    """``vpdpbusd``: four products of unsigned fields and signed codes a lane.

    Few sums have four registers each, one a field: fields are masked where they lie and the sums shifted once
    at the end, 2 · 4^3 · 128 · inputs / 4 being far from 31 bits. More sums have one, and fields are shifted.
    A sum that waits for its last product wastes time, so each has two registers in turns while they last.
    """

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        super().__init__(machine, rows, vectors, unpacked)
        most = machine.registers // 2 // (rows * vectors)
        self.apart = most >= FIELDS
        self.together = 2 if most >= 2 * FIELDS else 1
        self.count = FIELDS * self.together if self.apart else min(2, max(1, most))
        self.next = 0
        self.sums = {
            (r, c): [local(f"s{r}_{c}_{i}", self.lanes, "int32") for i in range(self.count)]
            for r, c in self.places
        }

    @classmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        """Sums, fields, and a row's codes fit the registers."""
        return min(8, (machine.registers - 6) // vectors)

    def begin(self) -> list[Any]:
        return self._zeros([acc for accs in self.sums.values() for acc in accs], "int32")

    def run(self, run: Run) -> list[Any]:
        block = Block()
        weights = [block.bound(each) for each in run.weights]
        rows = len(self.places) // len(weights)
        for digit in range(FIELDS):
            fields = [block.bound(self._field(each, digit, not self.apart)) for each in weights]
            for r in range(rows):
                codes = block.bound(run.quad(r, digit))
                for c, field in enumerate(fields):
                    acc = self.sums[r, c][self.next]
                    block.add(put(acc, quad_sums(get(acc), field, codes)))
            self.next = (self.next + 1) % self.count
        return block.statements

    def total(self, row: int, vector: int) -> Expr:
        total: Expr = None
        for i, acc in enumerate(self.sums[row, vector]):
            up = 2 * (i % FIELDS) if self.apart else 0
            part = tirx.shift_right(get(acc), spread(const(up), self.lanes)) if up else get(acc)
            total = part if total is None else total + part
        return total


class LookedUpSums(Sums):
    """Five weights a byte: AVX-512's ``vpermi2b`` gives four fields of two bits, ``vpdpbusd`` sums.

    The fifth weight is how many of 81 and 162 a byte reaches: less than 81 remain, whose fields a table of 128
    bytes holds, and what was taken away is 81 times the weight. Each field has sums of its own.
    """

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        super().__init__(machine, rows, vectors, unpacked)
        self.sums = {
            (r, c): [local(f"s{r}_{c}_{i}", self.lanes, "int32") for i in range(DIGITS)]
            for r, c in self.places
        }

    @classmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        return 1

    def begin(self) -> list[Any]:
        return self._zeros([acc for accs in self.sums.values() for acc in accs], "int32")

    def run(self, run: Run) -> list[Any]:
        block, kind = Block(), f"int8x{4 * self.lanes}"
        fifth = tirx.Broadcast(tirx.IntImm("int8", _FIFTH), 4 * self.lanes)
        tables = [_numbers(four_of_five()[at : at + 64]) for at in (0, 64)]
        codes = [block.bound(run.quad(0, digit)) for digit in range(DIGITS)]
        for c, weights in enumerate(run.weights):
            whole = block.bound(tirx.reinterpret(kind, weights))
            rest = whole
            for _ in range(2):
                # As unsigned bytes: one below 81 becomes a large one.
                rest = block.bound(intrinsic(kind, f"llvm.umin.v{4 * self.lanes}i8", rest, rest - fifth))
            taken = whole - rest
            fields = block.bound(
                intrinsic(kind, "llvm.x86.avx512.vpermi2var.qi.512", tables[0], rest, tables[1])
            )
            parts = [*(self._field(fields, digit, False) for digit in range(FIELDS)), taken]
            for acc, part, code in zip(self.sums[0, c], parts, codes, strict=True):
                block.add(put(acc, quad_sums(get(acc), part, code)))
        return block.statements

    def total(self, row: int, vector: int) -> Expr:
        first, *others, last = (get(acc) for acc in self.sums[row, vector])
        for digit, other in enumerate(others, 1):
            first = first + tirx.shift_right(other, spread(const(2 * digit), self.lanes))
        return first + tirx.truncdiv(last, spread(const(_FIFTH), self.lanes))


class PairSums(Sums):
    """``vpmaddubsw``: two products summed in 16 bits, and those of several runs, before they are widened.

    A pair is at most 2 · 2 · 128 = 512; fields 0 and 2 go into one sum, fields 1 and 3 into another, four
    times as large, so that only one shift brings the upper fields down: 7 runs of 2 · 4 · 512 fit 16 bits.
    """

    block = 7

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        super().__init__(machine, rows, vectors, unpacked)
        kinds = (("e", 2, "int16"), ("o", 2, "int16"), ("t", 1, "int32"))
        self.even, self.odd, self.sums = (
            {(r, c): local(f"{name}{r}_{c}", self.lanes * each, dtype) for r, c in self.places}
            for name, each, dtype in kinds
        )

    @classmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        """Two sums of 16 bits a row and vector stay in registers; those of 32 need not."""
        return max(1, (machine.registers - 6) // (2 * vectors))

    def begin(self) -> list[Any]:
        return [
            *self._zeros([*self.even.values(), *self.odd.values()], "int16"),
            *self._zeros(list(self.sums.values()), "int32"),
        ]

    def run(self, run: Run) -> list[Any]:
        block = Block()
        low = [block.bound(tirx.reinterpret(f"int32x{self.lanes}", each)) for each in run.weights]
        four = spread(const(FIELDS), self.lanes)
        high = [block.bound(tirx.shift_right(each, four)) for each in low]
        rows = len(self.places) // len(low)
        for digit in range(2):
            mask = spread(const(bytes_of(3 << 2 * digit)), self.lanes)
            kind = f"int8x{4 * self.lanes}"
            fields = [
                [block.bound(tirx.reinterpret(kind, tirx.bitwise_and(each, mask))) for each in half]
                for half in (low, high)
            ]
            for r in range(rows):
                codes = [block.bound(run.quad(r, digit + 2 * half)) for half in range(2)]
                for c in range(len(low)):
                    acc = (self.odd if digit else self.even)[r, c]
                    pairs = [pair_sums(fields[half][c], codes[half]) for half in range(2)]
                    block.add(put(acc, get(acc) + (pairs[0] + pairs[1])))
        return block.statements

    def flush(self) -> list[Any]:
        done = []
        for place in self.places:
            odd, even, acc = self.odd[place], self.even[place], self.sums[place]
            # A pair of fields that lie two bits up is four times as large, and so are their sums.
            shifted = tirx.shift_right(get(odd), tirx.Broadcast(tirx.IntImm("int16", 2), 2 * self.lanes))
            done.append(put(acc, get(acc) + word_sums(get(even) + shifted)))
            for each in (odd, even):
                done.append(put(each, tirx.Broadcast(tirx.IntImm("int16", 0), 2 * self.lanes)))
        return done

    def total(self, row: int, vector: int) -> Expr:
        return get(self.sums[row, vector])


def _numbers(values: np.ndarray) -> Expr:
    """Bytes known when code is made, in a register."""
    scalars = [tirx.IntImm("int8", int(value)) for value in values.astype(np.int8)]
    return tirx.Shuffle(scalars, [const(i) for i in range(len(scalars))])


_SUMS: dict[str, type[Sums]] = {
    "vpdpbusd": QuadSums,
    "vpmaddubsw": PairSums,
    "sdot": LaneSums,
    "smull": WideSums,
}


def sums_of(machine: Machine, digits: int) -> type[Sums] | None:
    """The sums of a machine's instructions, or None where it has none for so many weights a byte."""
    return _SUMS.get(machine.dot) if digits == FIELDS else LookedUpSums if looks_up(machine) else None
