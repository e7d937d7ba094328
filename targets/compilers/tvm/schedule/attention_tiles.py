"""Attention of many queries: keys packed once a head, then tiles of queries whose scores stay in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop, sequence
from edgepress.targets.compilers.tvm.schedule.attention_frame import AttentionFrame
from edgepress.targets.compilers.tvm.schedule.attention_rows import chunks
from edgepress.targets.compilers.tvm.schedule.raw import Scratch
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.softmax_row import exponentials
from edgepress.targets.compilers.tvm.schedule.vectors import Block, spread, turned

Cell = Callable[[int, int], Expr]  # (row, register of columns) → value
Finish = Callable[[int, int, Expr], list[Any]]  # (row, register of columns, sums) → statements


@dataclass(frozen=True)
class Panels:
    """Columns in panels of so many registers; the last has what is left.

    Attributes:
        columns: how many there are.
        lanes: of a register.
        most: registers of a whole panel.
    """

    columns: int
    lanes: int
    most: int

    @property
    def registers(self) -> int:
        """Registers that cover the columns."""
        return -(-self.columns // self.lanes)

    def each(self, frame: AttentionFrame, body: Callable[[Expr, list[int]], list[Any]]) -> list[Any]:
        """``body(panel, columns of each register)`` for every panel: whole ones in a loop, then the rest."""
        full, left = divmod(self.columns, self.lanes)
        whole = full // self.most
        rest = [self.lanes] * (full % self.most) + ([left] if left else [])
        done = []
        if whole:
            var = frame.axis("p", whole)
            done.append(loop(var, whole, sequence(body(var, [self.lanes] * self.most))))
        return done + (body(const(whole), rest) if rest else [])


class Products(Protocol):
    """The two products of an attention, in fp32 or in integers."""

    rows: int

    def pack(self) -> list[Any]:
        """Statements that pack what the products read."""

    def scores(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """Statements that store the scores of some queries."""

    def shares(self, row: Expr, sum_of: Expr, scores: Scratch, stride: int) -> list[Any]:
        """Statements that make weights of one row's powers; ``sum_of`` is 1 / their sum."""

    def results(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """Statements that store the results of some queries."""


def by_tiles(frame: AttentionFrame, products: Products) -> list[Any]:
    """The statements of one head."""
    form, lanes = frame.form, frame.lanes
    stride = -(-form.keys // lanes) * lanes
    most = min(products.rows, form.queries)
    scores = frame.scratch(most * stride, "float32")
    tiles = -(-form.queries // most)
    small, extra = divmod(form.queries, tiles)
    statements = products.pack()

    def tile(first: Expr, rows: int) -> Any:
        done = products.scores(first, rows, scores, stride)
        row = frame.axis("r", rows)
        block, share = exponentials(frame, form, scores, row * const(stride))
        block += products.shares(row, share(), scores, stride)
        return sequence(
            [*done, loop(row, rows, sequence(block)), *products.results(first, rows, scores, stride)]
        )

    if extra:
        var = frame.axis("t", extra)
        statements.append(loop(var, extra, tile(var * const(small + 1), small + 1)))
    var = frame.axis("t", tiles - extra)
    first = var * const(small) + const(extra * (small + 1))
    statements.append(loop(var, tiles - extra, tile(first, small)))
    return statements


class Plain:
    """The products in fp32.

    Args:
        frame: of the kernel.
        rows: queries of a tile.
        most: registers of columns of a tile.
        by_element: whether a multiply-add takes one lane of a register.
    """

    def __init__(self, frame: AttentionFrame, rows: int, most: int, by_element: bool) -> None:
        form = frame.form
        self.frame, self.rows, self.by_element = frame, rows, by_element
        self.keys = Panels(form.keys, frame.lanes, most)
        self.width = Panels(form.width, frame.lanes, most)
        self.packed = frame.scratch(self.keys.registers * frame.lanes * form.depth, "float32")
        self.sums = frame.scratch(rows, "float32")

    def pack(self) -> list[Any]:
        """Keys with their rows and columns exchanged: ``[panels][depth][columns of the panel]``."""
        frame, form, lanes = self.frame, self.frame.form, self.frame.lanes
        part = form.k[0]

        def panel(number: Expr, sizes: list[int]) -> list[Any]:
            block, registers = Block(), len(sizes)
            for c in range(registers):
                group = number * const(self.keys.most) + const(c)
                keys = [tirx.min(group * const(lanes) + const(i), const(form.keys - 1)) for i in range(lanes)]
                for place, size in chunks(form.depth, lanes):
                    rows = [block.bound(frame.numbers(part, key, const(place), size, None)) for key in keys]
                    for k, column in enumerate(turned(rows, block.bound)[:size]):
                        at = self._packed(number, registers, const(place + k), c)
                        block.add(self.packed.write(at, column))
            return block.statements

        return self.keys.each(frame, panel)

    def _packed(self, number: Expr, registers: int, k: Expr, c: int) -> Expr:
        lanes, depth = self.frame.lanes, self.frame.form.depth
        return (
            number * const(self.keys.most * lanes * depth) + k * const(registers * lanes) + const(c * lanes)
        )

    def scores(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """``q · kᵀ`` of some queries."""
        frame, form, lanes = self.frame, self.frame.form, self.frame.lanes
        start = frame.start(form.q)

        def panel(number: Expr, sizes: list[int]) -> list[Any]:
            def row(r: int, k: Expr, count: int) -> Expr:
                place = start + (first + const(r)) * const(form.q.row) + k
                return frame.read(form.q.buffer, place, count)

            def column(k: Expr, c: int) -> Expr:
                return self.packed.read(self._packed(number, len(sizes), k, c), lanes)

            def finish(r: int, c: int, value: Expr) -> list[Any]:
                at = const(r * stride + c * lanes) + number * const(self.keys.most * lanes)
                return [scores.write(at, value)]

            return self._tile(rows, len(sizes), form.depth, row, column, finish)

        return self.keys.each(frame, panel)

    def shares(self, row: Expr, sum_of: Expr, scores: Scratch, stride: int) -> list[Any]:
        """1 / the sum of the powers is kept for the end."""
        return [self.sums.write(row, sum_of)]

    def results(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """``weights · v`` of some queries."""
        frame, form, lanes = self.frame, self.frame.form, self.frame.lanes

        def panel(number: Expr, sizes: list[int]) -> list[Any]:
            base = number * const(self.width.most * lanes)

            def row(r: int, k: Expr, count: int) -> Expr:
                return scores.read(const(r * stride) + k, count)

            def column(k: Expr, c: int) -> Expr:
                return frame.numbers(form.v[0], k, base + const(c * lanes), sizes[c], None)

            def finish(r: int, c: int, value: Expr) -> list[Any]:
                share = spread(self.sums.read(const(r)), lanes)
                return frame.store(first + const(r), base + const(c * lanes), sizes[c], value * share)

            return self._tile(rows, len(sizes), form.keys, row, column, finish)

        return self.width.each(frame, panel)

    def _tile(
        self,
        rows: int,
        registers: int,
        extent: int,
        row: Callable[[int, Expr, int], Expr],
        column: Callable[[Expr, int], Expr],
        finish: Finish,
    ) -> list[Any]:
        """Sums of products: a tile of rows × registers of columns, four steps a trip."""
        frame, lanes = self.frame, self.frame.lanes
        sums = [[local(f"s{r}_{c}", lanes, "float32") for c in range(registers)] for r in range(rows)]
        done: list[Any] = []
        for each in sums:
            for acc in each:
                done += [tirx.AllocBuffer(acc), put(acc, tirx.Broadcast(tirx.const(0.0, "float32"), lanes))]

        def steps(base: Expr, count: int) -> list[Any]:
            block = Block()
            quads = (
                [block.bound(row(r, base, 4)) for r in range(rows)] if self.by_element and count == 4 else []
            )
            for k in range(count):
                columns = [block.bound(column(base + const(k), c)) for c in range(registers)]
                for r in range(rows):
                    number = (
                        tirx.Shuffle([quads[r]], [const(k)])
                        if quads
                        else block.bound(row(r, base + const(k), 1))
                    )
                    for c in range(registers):
                        block.add(put(sums[r][c], get(sums[r][c]) + spread(number, lanes) * columns[c]))
            return block.statements

        trips, tail = divmod(extent, 4)
        if trips:
            var = frame.axis("k", trips)
            done.append(loop(var, trips, sequence(steps(var * const(4), 4))))
        if tail:
            done += steps(const(trips * 4), tail)
        for r in range(rows):
            for c in range(registers):
                done += finish(r, c, get(sums[r][c]))
        return done
