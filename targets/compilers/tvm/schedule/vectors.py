"""Registers across one another: turned over, joined to one number, read where a row ends inside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.schedule.registers import pieces

Join = Callable[[Expr, Expr], Expr]
Bound = Callable[[Expr], Expr]  # gives a value a name


class Block:
    """Statements one after another, and names for values that are used more than once."""

    def __init__(self) -> None:
        self.statements: list[Any] = []

    def add(self, statement: Any) -> None:
        """Append a statement."""
        self.statements.append(statement)

    def bound(self, value: Expr) -> Expr:
        """A value under a name of its own."""
        var = tirx.Var("v", value.ty)
        self.statements.append(tirx.Bind(var, value))
        return var


def all_of(value: float, lanes: int) -> Expr:
    """One fp32 number in every lane."""
    return spread(tirx.const(value, "float32"), lanes)


def spread(value: Expr, lanes: int) -> Expr:
    """One number in every lane."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def interleaved(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """The lanes of two registers in turn: those of their lower halves, and of their upper halves."""
    lanes = int(a.ty.dtype.lanes)
    half = lanes // 2
    order = [const(i // 2 + (lanes if i % 2 else 0)) for i in range(2 * lanes)]
    return tirx.Shuffle([a, b], order[:lanes]), tirx.Shuffle([a, b], order[lanes:] if half else order[:lanes])


def turned(rows: list[Expr], bound: Bound) -> list[Expr]:
    """As many registers as each has lanes, rows and columns exchanged."""
    count = len(rows)
    for _ in range(count.bit_length() - 1):
        rows = [bound(part) for i in range(count // 2) for part in interleaved(rows[i], rows[i + count // 2])]
    return rows


def sums_of(rows: list[Expr], bound: Bound) -> Expr:
    """The sum of each register's lanes, of as many registers as each has lanes: lane i is that of row i."""
    while len(rows) > 1:
        half = len(rows) // 2
        pairs = [interleaved(rows[i], rows[i + half]) for i in range(half)]
        rows = [bound(low + high) for low, high in pairs]
    return rows[0]


def joined(value: Expr, join: Join, bound: Bound) -> Expr:
    """All lanes of a register joined to one number, halves upon halves."""
    lanes = int(value.ty.dtype.lanes)
    while lanes > 1:
        lanes //= 2
        low, high = (tirx.Shuffle([value], [const(first + i) for i in range(lanes)]) for first in (0, lanes))
        value = bound(join(low, high))
    return value


def padded(read: Callable[[int, int], Expr], count: int, lanes: int) -> Expr:
    """``count`` numbers in a register's first lanes, zeros after them.

    Args:
        read: (first, count) → neighbouring numbers; it is asked for powers of two, and for no number more.
        count: how many there are, 1 to ``lanes``.
        lanes: the register's.
    """
    whole: Expr = None
    for at, size in pieces(count, lanes):
        value = read(at, size)
        if size == lanes:
            return value
        zero = tirx.const(0, str(value.ty.dtype).partition("x")[0])
        inside = range(at, at + size)
        if size == 1:
            both = [tirx.Broadcast(value, lanes), tirx.Broadcast(zero, lanes)]
            part = tirx.Shuffle(both, [const(i if i in inside else lanes) for i in range(lanes)])
        else:
            parts = [value] + [tirx.Broadcast(zero, size)] * (lanes // size - 1)
            part = tirx.Shuffle(parts, [const(i - at if i in inside else size) for i in range(lanes)])
        if whole is None:
            whole = part
        else:
            mine = [const(lanes + i if i in inside else i) for i in range(lanes)]
            whole = tirx.Shuffle([whole, part], mine)
    return whole
