"""The products of a quantised attention by instructions that sum neighbouring products of bytes.

With rows ``a`` and columns ``b`` as the instruction takes them and their zero points ``s`` and ``t``,
``Σ (a − s)(b − t) = Σ a·b − s·Σ b − t·Σ (a − s)``: the second sum is a column's, made when it is packed, the
third a row's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.attention_form import Operand
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.attention_frame import AttentionFrame
from edgepress.targets.compilers.tvm.schedule.attention_rows import (
    in_score_steps,
    result_steps,
    weight_steps,
)
from edgepress.targets.compilers.tvm.schedule.attention_tiles import Panels
from edgepress.targets.compilers.tvm.schedule.dot import DOTS, Dot, Load, smull_apart
from edgepress.targets.compilers.tvm.schedule.raw import Scratch
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.steps import Steps
from edgepress.targets.compilers.tvm.schedule.vectors import Block, joined, padded, spread, turned

# (panel, columns of a register, row, register, sums) → statements
Finish = Callable[[Expr, int, int, int, Expr], list[Any]]

_INPUTS = 16  # rows are padded to a multiple of this: what one trip may read


class Columns:
    """Packed columns of a product: ``[panels][inputs / depth][columns of the panel][depth]``, and their sums."""

    def __init__(self, frame: AttentionFrame, dot: Dot, columns: int, inputs: int, most: int) -> None:
        self.frame, self.dot, self.inputs = frame, dot, -(-inputs // 4) * 4
        self.panels = Panels(columns, frame.lanes, most)
        size = self.panels.registers * frame.lanes
        self.bytes = frame.scratch(size * self.inputs, "int8")
        self.start = frame.scratch(size, "int32")

    def at(self, panel: Expr, registers: int, group: Expr, c: int) -> Expr:
        """The first byte of a register of columns, at one group of ``depth`` inputs."""
        lanes, depth = self.frame.lanes, self.dot.depth
        each = const(registers * lanes * depth)
        return panel * const(self.panels.most * lanes * self.inputs) + group * each + const(c * lanes * depth)

    def starts(self, zero: Expr) -> list[Any]:
        """Statements that store, for each column, ``−zero · Σ b``."""
        frame, dot, lanes = self.frame, self.dot, self.frame.lanes
        step = dot.depth * dot.group

        def panel(number: Expr, sizes: list[int]) -> list[Any]:
            done = []
            for c in range(len(sizes)):
                acc, var, inner = (
                    local("b", lanes, "int32"),
                    frame.axis("k", self.inputs // dot.depth),
                    Block(),
                )
                ones = dot.read(
                    lambda at, n: spread(tirx.const(1, "int8"), n), step, lanes, False, inner.bound
                )
                read = self.bytes.read(self.at(number, len(sizes), var, c), lanes * dot.depth)
                parts = dot.weights(read)
                total = dot.add(get(acc), ones(0), parts)
                body = sequence([*inner.statements, put(acc, total)])
                place = (number * const(self.panels.most) + const(c)) * const(lanes)
                value = get(acc) * spread(const(0) - zero, lanes)
                done += [tirx.AllocBuffer(acc), put(acc, spread(const(0), lanes)),
                         loop(var, self.inputs // dot.depth, body), self.start.write(place, value)]  # fmt: skip
            return done

        return self.panels.each(frame, panel)


class Dots:
    """The products in integers."""

    def __init__(self, frame: AttentionFrame, machine: Machine) -> None:
        form = frame.form
        # Keys and values are any bytes: two products may leave 16 bits.
        dot = DOTS["vpmaddwd" if machine.dot == "vpmaddubsw" else machine.dot]
        # Two products of −128 by −128 leave 16 bits; weights may be chosen, these columns may not.
        self.dot = replace(dot, add=smull_apart) if machine.dot == "smull" else dot
        registers = 4 if machine.by_element else 2
        self.frame = frame
        self.rows = machine.tiles.dot_rows or dot.tile_rows(machine, registers * machine.lanes, form.depth)
        self.keys = Columns(frame, self.dot, form.keys, form.depth, registers)
        self.values = Columns(frame, self.dot, form.width, form.keys, registers)
        self.stride = -(-form.keys // _INPUTS) * _INPUTS + frame.lanes
        self.weights = frame.scratch(min(self.rows, form.queries) * self.stride, dot.rows)
        self.sums = frame.scratch(self.rows, "int32")
        self.q, self.k, _, self.weight, self.v, _ = frame.grids

    def _row_offset(self, steps: Steps) -> int:
        """What is taken from a step so that it has the type that the instruction wants of rows."""
        return int(np.iinfo(steps.grid.dtype).min) - int(np.iinfo(self.dot.rows).min)

    @staticmethod
    def _column_offset(steps: Steps) -> int:
        return 128 if steps.grid.dtype == "uint8" else 0

    def pack(self) -> list[Any]:
        """Keys and values packed, and the sums of their columns."""
        done: list[Any] = []
        for columns, row, body in (
            (self.keys, self.q, self._keys),
            (self.values, self.weight, self._values),
        ):
            done += columns.panels.each(self.frame, body)
            done += columns.starts(row.zero() - const(self._row_offset(row)))
        return done

    def _keys(self, number: Expr, sizes: list[int]) -> list[Any]:
        """A panel of keys: each one's inputs are columns of words of ``depth`` bytes."""
        form, dot, lanes = self.frame.form, self.dot, self.frame.lanes
        part, block = form.k[0], Block()
        words = form.depth // dot.depth
        flip = self.k.grid.dtype == "uint8"
        for c in range(len(sizes)):
            group = number * const(self.keys.panels.most) + const(c)
            keys = [tirx.min(group * const(lanes) + const(i), const(form.keys - 1)) for i in range(lanes)]
            whole = words // lanes * lanes
            for first in range(0, whole, lanes):
                rows = []
                for key in keys:
                    read = self._bytes(part, key, const(first * dot.depth), lanes * dot.depth)
                    rows.append(
                        block.bound(tirx.reinterpret(f"int{8 * dot.depth}x{lanes}", _signed(read, flip)))
                    )
                for k, word in enumerate(turned(rows, block.bound)):
                    value = tirx.reinterpret(f"int8x{lanes * dot.depth}", word)
                    block.add(
                        self.keys.bytes.write(self.keys.at(number, len(sizes), const(first + k), c), value)
                    )
            for k in range(whole, words):
                for i, key in enumerate(keys):
                    read = _signed(self._bytes(part, key, const(k * dot.depth), dot.depth), flip)
                    at = self.keys.at(number, len(sizes), const(k), c) + const(i * dot.depth)
                    block.add(self.keys.bytes.write(at, read))
        return block.statements

    def _bytes(self, part: Operand, row: Expr, first: Expr, count: int) -> Expr:
        value = self.frame.read(part.buffer, self.frame.start(part) + row * const(part.row) + first, count)
        kind = f"int8x{count}" if count > 1 else "int8"
        return value if part.dtype == "int8" else tirx.reinterpret(kind, value)

    def _values(self, number: Expr, sizes: list[int]) -> list[Any]:
        """A panel of values: groups of ``depth`` neighbouring rows, their bytes in turn."""
        frame, form, dot, lanes = self.frame, self.frame.form, self.dot, self.frame.lanes
        depth, none = dot.depth, tirx.const(0, "int8")
        order = [const((i % depth) * lanes + i // depth) for i in range(lanes * depth)]

        def rows(group: Expr, count: int) -> list[Any]:
            block = Block()
            for c, size in enumerate(sizes):
                first = (number * const(self.values.panels.most) + const(c)) * const(lanes)
                read = []
                for i in range(depth):
                    row = group * const(depth) + const(i)
                    given = i < count
                    read.append(block.bound(self._value(row, first, size)) if given else spread(none, lanes))
                at = self.values.at(number, len(sizes), group, c)
                block.add(self.values.bytes.write(at, tirx.Shuffle(read, order)))
            return block.statements

        whole, tail = divmod(form.keys, depth)
        done = []
        if whole:
            var = frame.axis("j", whole)
            done.append(loop(var, whole, sequence(rows(var, depth))))
        if tail:
            done += rows(const(whole), tail)
        for empty in range(whole + bool(tail), self.values.inputs // depth):
            done += rows(const(empty), 0)
        return done

    def _value(self, row: Expr, first: Expr, count: int) -> Expr:
        """A register's worth of one row of values, zeros after them."""
        part, flip = self.frame.form.v[0], self.v.grid.dtype == "uint8"
        return padded(
            lambda at, n: _signed(self._bytes(part, row, first + const(at), n), flip), count, self.frame.lanes
        )

    def scores(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """Scores of some queries in their own steps, as fp32."""
        frame, form, lanes = self.frame, self.frame.form, self.frame.lanes
        zero = self.k.zero() - const(self._column_offset(self.k))
        start = frame.start(form.q) + first * const(form.q.row)
        done: list[Any] = []
        terms = []
        for r in range(rows):
            acc, var = local("a", 1, "int32"), frame.axis("d", form.depth)
            one = frame.read(form.q.buffer, start + const(r * form.q.row) + var, 1)
            held = tirx.BufferLoad(acc, [const(0)])
            add = tirx.BufferStore(acc, held + tirx.Cast("int32", one), [const(0)])
            done.append(tirx.AllocBuffer(acc))
            done.append(tirx.BufferStore(acc, self.q.zero() * const(-form.depth), [const(0)]))
            done.append(loop(var, form.depth, add))
            term = tirx.Var("t", "int32")
            done.append(tirx.Bind(term, const(0) - held * zero))
            terms.append(term)

        def load(r: int) -> Callable[[Expr], Load]:
            return lambda base: (
                lambda at, n: frame.read(form.q.buffer, start + const(r * form.q.row) + base + const(at), n)
            )

        def finish(number: Expr, size: int, r: int, c: int, value: Expr) -> list[Any]:
            at = const(r * stride + c * lanes) + number * const(self.keys.panels.most * lanes)
            real = tirx.Cast(f"float32x{lanes}", value)
            return [scores.write(at, in_score_steps(frame, real))]

        flip = self.q.grid.dtype != self.dot.rows
        return done + self._product(self.keys, rows, form.depth, load, terms, flip, finish)

    def shares(self, row: Expr, sum_of: Expr, scores: Scratch, stride: int) -> list[Any]:
        """One row's powers as bytes of weights, and their sum times the values' zero point."""
        frame, form, lanes = self.frame, self.frame.form, self.frame.lanes
        block = Block()
        share = block.bound(sum_of)
        acc = local("w", lanes, "int32")
        none = spread(const(0), lanes)
        block.add(tirx.AllocBuffer(acc))
        block.add(put(acc, none))
        count = -(-form.keys // lanes)
        var, inner = frame.axis("k", count), Block()
        at = var * const(lanes)
        steps = inner.bound(weight_steps(frame, scores.read(row * const(stride) + at, lanes), share))
        inner.add(put(acc, get(acc) + steps))
        kind = self.weight.as_bytes(steps, self._row_offset(self.weight), self.dot.rows)
        inner.add(self.weights.write(row * const(self.stride) + at, kind))
        block.add(loop(var, count, sequence(inner.statements)))
        total = joined(get(acc), lambda a, b: a + b, block.bound)
        zero = self.v.zero() - const(self._column_offset(self.v))
        block.add(self.sums.write(row, const(0) - total * zero))
        return block.statements

    def results(self, first: Expr, rows: int, scores: Scratch, stride: int) -> list[Any]:
        """Results of some queries."""
        frame, lanes = self.frame, self.frame.lanes
        done: list[Any] = []
        terms = []
        for r in range(rows):
            term = tirx.Var("t", "int32")
            done.append(tirx.Bind(term, self.sums.read(const(r))))
            terms.append(term)

        def load(r: int) -> Callable[[Expr], Load]:
            return lambda base: lambda at, n: self.weights.read(const(r * self.stride) + base + const(at), n)

        def finish(number: Expr, size: int, r: int, c: int, value: Expr) -> list[Any]:
            steps = result_steps(frame, tirx.Cast(f"float32x{lanes}", value))
            place = (number * const(self.values.panels.most) + const(c)) * const(lanes)
            return frame.store(first + const(r), place, size, steps)

        return done + self._product(self.values, rows, self.values.inputs, load, terms, False, finish)

    def _product(
        self,
        columns: Columns,
        rows: int,
        inputs: int,
        load: Callable[[int], Callable[[Expr], Load]],
        terms: list[Expr],
        flip: bool,
        finish: Finish,
    ) -> list[Any]:
        """Tiles of rows × panels of sums, each begun at its column's and its row's share."""
        frame, dot, lanes = self.frame, self.dot, self.frame.lanes

        def panel(number: Expr, sizes: list[int]) -> list[Any]:
            registers, done = len(sizes), []
            sums = [[local(f"s{r}_{c}", lanes, "int32") for c in range(registers)] for r in range(rows)]
            block = Block()
            starts = [
                block.bound(
                    columns.start.read((number * const(columns.panels.most) + const(c)) * const(lanes), lanes)
                )
                for c in range(registers)
            ]
            for r in range(rows):
                for c in range(registers):
                    block.add(tirx.AllocBuffer(sums[r][c]))
                    block.add(put(sums[r][c], starts[c] + spread(terms[r], lanes)))
            done += block.statements

            def steps(base: Expr, count: int) -> list[Any]:
                inner = Block()
                reads = [dot.read(load(r)(base), count, lanes, flip, inner.bound) for r in range(rows)]
                for at in range(0, count, dot.depth * dot.group):
                    group = min(dot.group, (count - at) // dot.depth)
                    numbers = [at // dot.depth + g for g in range(group)]
                    weights = [
                        [
                            inner.bound(part)
                            for n in numbers
                            for part in dot.weights(
                                columns.bytes.read(
                                    columns.at(
                                        number, registers, tirx.floordiv(base, const(dot.depth)) + const(n), c
                                    ),
                                    lanes * dot.depth,
                                )
                            )
                        ]
                        for c in range(registers)
                    ]
                    for r in range(rows):
                        x = [value for n in numbers for value in reads[r](n)]
                        for c in range(registers):
                            inner.add(put(sums[r][c], dot.add(get(sums[r][c]), x, weights[c])))
                return inner.statements

            trips, tail = divmod(inputs, dot.step)
            if trips:
                var = frame.axis("k", trips)
                done.append(loop(var, trips, sequence(steps(var * const(dot.step), dot.step))))
            if tail:
                done += steps(const(trips * dot.step), tail)
            for r in range(rows):
                for c in range(registers):
                    done += finish(number, sizes[c], r, c, get(sums[r][c]))
            return done

        return columns.panels.each(frame, panel)


def _signed(value: Expr, flip: bool) -> Expr:
    """Bytes with their top bit turned over: 128 less, as signed numbers."""
    if not flip:
        return value
    lanes = int(value.ty.dtype.lanes)
    return tirx.bitwise_xor(value, spread(tirx.const(-128, "int8"), lanes))
