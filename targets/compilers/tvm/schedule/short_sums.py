"""Sums of ternary products in 16 bits: the loops that make them, and whole sums of them before they could overflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.schedule.dot import Short
from edgepress.targets.compilers.tvm.schedule.registers import get, put

Loops = list[tuple[Any, int]]  # variables and extents, the outermost first
Some = Callable[
    [Expr, int], list[Any]
]  # (first input, inputs) → statements that add so many of the innermost axis


class ShortSums:
    """Short sums beside the whole ones of a tile.

    Attributes:
        sums: rows × vectors of 16 bits, each of twice as many as the whole ones'.
    """

    def __init__(self, short: Short, whole: list[list[Any]]) -> None:
        self.short, self.whole = short, whole
        self.sums = [
            [local(f"h{r}_{c}", 2 * shape_of(each)[0], "int16") for c, each in enumerate(row)]
            for r, row in enumerate(whole)
        ]

    def declared(self) -> list[Any]:
        """The statements that make them."""
        return [tirx.AllocBuffer(each) for row in self.sums for each in row]

    def inside(self, frame: Frame, loops: Loops, extent: int, step: int, some: Some) -> list[Any]:
        """What adds up the products of all loops and of the innermost axis.

        Args:
            frame: of the kernel.
            loops: around the innermost axis.
            extent, step: of the innermost axis, and how many inputs are taken at once.
            some: adds products to the short sums.
        """
        most = self.short.most
        if extent > most:
            each = most // step * step
            trips, rest = divmod(extent, each)
            var = frame.axis("h", trips)
            parts = [loop(var, trips, sequence(self._around(some(var * const(each), each))))]
            if rest:
                parts += self._around(some(const(trips * each), rest))
            return [nested(loops, sequence(parts))]
        cut, inputs = len(loops), extent
        while cut and inputs * loops[cut - 1][1] <= most:
            cut -= 1
            inputs *= loops[cut][1]
        inner = nested(loops[cut:], sequence(some(const(0), extent)))
        return [nested(loops[:cut], sequence(self._around([inner])))]

    def _around(self, added: list[Any]) -> list[Any]:
        """Statements that add products, between those that begin short sums and those that add them to the whole."""
        pairs = [
            (a, h)
            for row, own in zip(self.whole, self.sums, strict=True)
            for a, h in zip(row, own, strict=True)
        ]
        zeros = [put(h, tirx.Broadcast(tirx.IntImm("int16", 0), shape_of(h)[0])) for _, h in pairs]
        return [*zeros, *added, *(put(a, self.short.whole(get(a), get(h))) for a, h in pairs)]


def nested(loops: Loops, body: Any) -> Any:
    """A statement inside loops."""
    for var, extent in reversed(loops):
        body = loop(var, extent, body)
    return body
