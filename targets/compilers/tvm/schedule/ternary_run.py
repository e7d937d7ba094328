"""What sums by packed ternary weights have in common, whatever instructions make them.

Fields hold the weight plus one: 0, 1, 2. Whoever reads the totals takes the sum of the codes away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import BYTES
from edgepress.targets.compilers.tvm.schedule.registers import put
from edgepress.targets.compilers.tvm.schedule.vectors import spread


@dataclass(frozen=True)
class Run:
    """One run of inputs.

    Attributes:
        weights: its registers of weights, in the order in which they lie.
        codes: (row, first, how many) → neighbouring codes of the run.
        lanes: of 32 bits, in a register.
    """

    weights: list[Expr]
    codes: Callable[[int, int, int], Expr]
    lanes: int

    def quad(self, row: int, digit: int) -> Expr:
        """The four codes that the field ``digit`` is for, as int8 in every lane."""
        word = tirx.reinterpret("int32", self.codes(row, digit * BYTES, BYTES))
        return tirx.reinterpret(f"int8x{BYTES * self.lanes}", tirx.Broadcast(word, self.lanes))


class Sums(ABC):
    """Sums of ``rows`` × ``vectors`` registers of int32.

    Attributes:
        block: runs after which ``flush`` must be called; 0 where it need not.
        together: runs of one trip of the loop.
        unpacks: tiles of rows from which on a panel's weights are unpacked once for all of them; 0 where never.
        unpacked: whether a run's weights come unpacked, each field of all registers together, which only sums
            that can unpack are asked for.
    """

    block = 0
    together = 1
    unpacks = 0

    def __init__(self, machine: Machine, rows: int, vectors: int, unpacked: bool = False) -> None:
        self.unpacked = unpacked
        self.machine, self.lanes = machine, machine.lanes
        self.places = [(r, c) for r in range(rows) for c in range(vectors)]

    @classmethod
    @abstractmethod
    def most_rows(cls, machine: Machine, vectors: int) -> int:
        """The most rows of a tile."""

    @abstractmethod
    def begin(self) -> list[Any]:
        """Statements that make the sums and set them to zero."""

    @abstractmethod
    def run(self, run: Run) -> list[Any]:
        """Statements that add one run."""

    def flush(self) -> list[Any]:
        """Statements that move sums of few bits into sums of 32."""
        return []

    @abstractmethod
    def total(self, row: int, vector: int) -> Expr:
        """A register of totals."""

    def _zeros(self, sums: list[Any], dtype: str) -> list[Any]:
        zero, done = tirx.const(0, dtype), []
        for acc in sums:
            done += [tirx.AllocBuffer(acc), put(acc, spread(zero, _lanes(acc)))]
        return done

    def _field(self, weights: Expr, digit: int, shifted: bool = True) -> Expr:
        """One field of each byte, in its low bits or where it lies."""
        words = tirx.reinterpret(f"int32x{self.lanes}", weights)
        if shifted and digit:
            words = tirx.shift_right(words, spread(const(2 * digit), self.lanes))
        mask = bytes_of(3 if shifted else 3 << 2 * digit)
        masked = tirx.bitwise_and(words, spread(const(mask), self.lanes))
        return tirx.reinterpret(f"int8x{4 * self.lanes}", masked)


def bytes_of(value: int) -> int:
    """A byte in each byte of an int32."""
    word = value * 0x01010101
    return word - (1 << 32) if word >> 31 else word


def _lanes(buffer: Any) -> int:
    return int(buffer.ty.shape[0])
