"""A small matrix of constants times a column of vectors, with few operations.

Two neighbouring rows or columns that differ by signs alone, as those of points of opposite sign do, share
their work: ``e + o`` and ``e - o``. Factors of one cost nothing, the others are multiply-adds.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr
from edgepress.targets.compilers.tvm.winograd import Rows

_Term = tuple[Fraction, Expr]


class Vectors:
    """Vectors of ``lanes`` fp32 numbers by name, so that each is worked out once.

    ``statements`` receives what gives the names their values, in order.
    """

    def __init__(self, lanes: int, statements: list[Any]) -> None:
        self.lanes = lanes
        self.statements = statements

    def name(self, value: Expr) -> Expr:
        """A name for a value."""
        var = tirx.Var("x", f"float32x{self.lanes}" if self.lanes > 1 else "float32")
        self.statements.append(tirx.Bind(var, value))
        return var

    def fill(self, value: float) -> Expr:
        """One number in every lane."""
        number = tirx.FloatImm("float32", value)
        return tirx.Broadcast(number, self.lanes) if self.lanes > 1 else number

    def product(self, rows: Rows, values: list[Expr]) -> list[Expr]:
        """``rows`` times the column ``values``: one vector for each row.

        The constants are taken as fp32, so each should be a small fraction of two.
        """
        columns, column = self._paired(rows, values)
        done: list[Expr] = []
        while len(done) < len(rows):
            at = len(done)
            one, other = [c[at] for c in columns], [f for c in columns for f in c[at + 1 : at + 2]]
            if not _mirrored(one, other):
                done.append(self._sum(list(zip(one, column, strict=True))))
                continue
            pairs = list(zip(one, other, column, strict=True))
            even = self._sum([(a, v) for a, b, v in pairs if a == b])
            odd = [(a, v) for a, b, v in pairs if a != b]
            lead = next(a for a, _ in reversed(odd) if a)
            scaled = self._times(lead, self._sum([(a / lead, v) for a, v in odd]))
            done += [self.name(even + scaled), self.name(even - scaled)]
        return done

    def _paired(self, rows: Rows, values: list[Expr]) -> tuple[list[tuple[Fraction, ...]], list[Expr]]:
        """The columns and the vectors that they multiply, mirrored pairs replaced by sum and difference."""
        given = list(zip(zip(*rows, strict=True), values, strict=True))
        columns: list[tuple[Fraction, ...]] = []
        vectors: list[Expr] = []
        while given:
            (own, value), *rest = given
            if rest and _mirrored(list(own), list(rest[0][0])):
                pairs = list(zip(own, rest[0][0], strict=True))
                columns += [tuple((a + b) / 2 for a, b in pairs), tuple((a - b) / 2 for a, b in pairs)]
                vectors += [self.name(value + rest[0][1]), self.name(value - rest[0][1])]
                given = rest[1:]
            else:
                columns.append(own)
                vectors.append(value)
                given = rest
        return columns, vectors

    def _sum(self, terms: list[_Term]) -> Expr:
        """``Σ factor · vector``, a factor of one first so that the others are multiply-adds."""
        first, *others = sorted((t for t in terms if t[0]), key=lambda term: term[0] != 1)
        total = self._times(*first)
        for factor, value in others:
            total = total - value if factor == -1 else total + self._times(factor, value)
        return self.name(total)

    def _times(self, factor: Fraction, value: Expr) -> Expr:
        return value if factor == 1 else value * self.fill(float(factor))


def _mirrored(one: list[Fraction], other: list[Fraction]) -> bool:
    """Whether two rows agree in some places and differ by their signs alone in all others."""
    pairs = list(zip(one, other, strict=True)) if len(one) == len(other) else []
    return (
        all(abs(a) == abs(b) for a, b in pairs)
        and any(a == b != 0 for a, b in pairs)
        and any(a == -b != 0 for a, b in pairs)
    )
