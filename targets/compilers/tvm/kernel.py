"""The frame of one kernel: flat buffers behind raw pointers, and the share of the outermost loop it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tvm import ir, tirx
from tvm.ir import PointerType, PrimType

from edgepress.targets.compilers.tvm.expressions import (
    INDEX,
    Expr,
    Narrow,
    analyzer,
    const,
    dtype_of,
    flat_index,
    loads,
    shape_of,
)
from edgepress.targets.compilers.tvm.stages import Nest, Stage


@dataclass(frozen=True)
class Body:
    """A kernel's code.

    Attributes:
        statement: the loops.
        extent: of the outermost loop, which parts divide.
        tile: rows × columns of sums held in registers, for people; empty where there is no such tile.
        shape: what is summed over what, by which tiles are remembered; empty where there is no tile.
        tuned: whether the tile was measured, and not chosen by rule.
        family: the schedule that made it.
    """

    statement: Any
    extent: int
    tile: str = ""
    shape: str = ""
    tuned: bool = False
    family: str = ""


class LoopVariables:
    """The loop variables of one kernel, and the arithmetic over their ranges."""

    _arith: Any
    _count: int

    def axis(self, name: str, extent: int) -> Any:
        """A new ``int32`` loop variable that runs over ``[0, extent)``."""
        var = tirx.Var(f"{name}{self._count}", INDEX)
        self._count += 1
        self._arith.bind(var, ir.Range(const(0), const(extent)))
        return var

    def simplify(self, expr: Expr) -> Expr:
        """An expression simplified with the ranges of the loop variables."""
        return self._arith.simplify(expr)


@dataclass
class Frame(LoopVariables):
    """The parameters of one kernel and the arithmetic over its loop variables.

    Attributes:
        buffers: the nest's buffers in the order of the kernel's parameters, the stored one last.
        begin, end: the share of the outermost loop, ``int32`` parameters.
    """

    nest: Nest
    buffers: list[Any] = field(default_factory=list)
    begin: Any = field(default_factory=lambda: tirx.Var("begin", INDEX))
    end: Any = field(default_factory=lambda: tirx.Var("end", INDEX))
    _flat: dict[Any, Any] = field(default_factory=dict)
    _data: list[Any] = field(default_factory=list)
    _arith: Any = field(default_factory=lambda: analyzer({}))
    _count: int = 0

    def __post_init__(self) -> None:
        stage, anchor = self.nest.stage, self.nest.anchor
        seen = []
        if anchor is not None:
            seen += [load.source for load in loads(anchor.value)]
            for index in anchor.indices:
                seen += [load.source for load in loads(index)]
        seen += [load.source for load in loads(stage.value)]
        for index in stage.indices:
            seen += [load.source for load in loads(index)]
        for buffer in seen:
            inner = anchor is not None and buffer.same_as(anchor.buffer)
            if not inner and not buffer.same_as(stage.buffer) and buffer not in self._flat:
                self._declare(buffer)
        self._declare(stage.buffer)

    def _declare(self, buffer: Any) -> None:
        count = 1
        for extent in shape_of(buffer):
            count *= extent
        dtype = dtype_of(buffer)
        stored = "int8" if dtype == "bool" else dtype
        number = len(self.buffers)
        data = tirx.Var(f"p{number}", PointerType(PrimType(stored), "global"))
        self._data.append(data)
        self._flat[buffer] = tirx.decl_buffer((max(count, 1),), stored, f"b{number}")
        self.buffers.append(buffer)

    def offset(self, buffer: Any, indices: list[Expr]) -> Expr:
        """The flat, simplified offset of an element; an index that is data is held inside its extent."""
        shape = shape_of(buffer)
        held = [
            tirx.max(tirx.min(index, const(extent - 1)), const(0)) if loads(index) else index
            for index, extent in zip(indices, shape, strict=True)
        ]
        return self.simplify(flat_index(shape, held))

    def element(self, buffer: Any, offset: Expr) -> Expr:
        """Reads one element at a flat offset."""
        value = tirx.BufferLoad(self._flat[buffer], [offset])
        return tirx.Cast("bool", value) if dtype_of(buffer) == "bool" else value

    def vector(self, buffer: Any, offset: Expr, lanes: int) -> Expr:
        """Reads ``lanes`` neighbouring elements."""
        if lanes == 1:
            return self.element(buffer, offset)
        return tirx.BufferLoad(self._flat[buffer], [tirx.Ramp(offset, const(1), lanes)])

    def prefetch(self, buffer: Any, offset: Expr, write: bool = False) -> Any:
        """A statement that asks for the cache line of an element, which need not lie inside the buffer."""
        address = tirx.address_of(tirx.BufferLoad(self._flat[buffer], [offset]))
        call = tirx.call_llvm_intrin(
            "void", "llvm.prefetch.p0", address, const(int(write)), const(3), const(1)
        )
        return tirx.Evaluate(call)

    def value(self, expr: Expr, variables: Mapping[Any, Expr], held: Expr | None = None) -> Expr:
        """An expression over the nest's axes as code; ``held`` stands for the anchor's sum."""
        anchor = self.nest.anchor

        def read(buffer: Any, indices: list[Expr]) -> Expr:
            if held is not None and anchor is not None and buffer.same_as(anchor.buffer):
                return held
            return self.element(buffer, self.offset(buffer, indices))

        return Narrow(variables, read).value(expr)

    def indices_of(self, indices: list[Any], variables: Mapping[Any, Expr]) -> list[Expr]:
        """Indices over the nest's axes as ``int32`` code."""
        narrow = Narrow(variables, lambda buffer, idx: self.element(buffer, self.offset(buffer, idx)))
        return [narrow.index(index) for index in indices]

    def store(self, variables: Mapping[Any, Expr], held: Expr | None = None) -> Any:
        """The statement that stores the nest's value at the given place."""
        return self.put(variables, self.value(self.nest.stage.value, variables, held))

    def put(self, variables: Mapping[Any, Expr], value: Expr) -> Any:
        """The statement that stores a value at the nest's place."""
        stage = self.nest.stage
        if dtype_of(stage.buffer) == "bool":
            value = tirx.Cast("int8", value)
        where = self.offset(stage.buffer, self.indices_of(list(stage.indices), variables))
        return tirx.BufferStore(self._flat[stage.buffer], value, [where])

    def put_vector(self, variables: Mapping[Any, Expr], value: Expr) -> Any:
        """The statement that stores a vector from the nest's place on, along the last axis."""
        stage = self.nest.stage
        return self.put_at(self.offset(stage.buffer, self.indices_of(list(stage.indices), variables)), value)

    def put_at(self, where: Expr, value: Expr) -> Any:
        """The statement that stores a vector from a flat offset of the nest's buffer on."""
        lanes = int(value.ty.dtype.lanes)
        at = tirx.Ramp(where, const(1), lanes) if lanes > 1 else where
        return tirx.BufferStore(self._flat[self.nest.stage.buffer], value, [at])

    def put_flat(self, offset: Expr, value: Expr) -> Any:
        """The statement that stores a vector or a number from a flat offset on."""
        lanes = int(value.ty.dtype.lanes)
        where = self.simplify(offset)
        where = tirx.Ramp(where, const(1), lanes) if lanes > 1 else where
        return tirx.BufferStore(self._flat[self.nest.stage.buffer], value, [where])

    def load_offset(self, load: Any, variables: Mapping[Any, Expr]) -> Expr:
        """The flat offset of a buffer read of the nest."""
        return self.offset(load.source, self.indices_of(list(load.indices), variables))

    def part_loop(self, var: Any, body: Any) -> Any:
        """The outermost loop: ``var`` runs over this part's share."""
        return tirx.For(var, self.begin, self.end - self.begin, tirx.ForKind.SERIAL, body)

    def part_grid(
        self,
        rows: int,
        each: int,
        body: Callable[[Any, Any], Any],
        before: Callable[[Any], list[Any]] = lambda row: [],
    ) -> Any:
        """Two loops over a grid, row after row, whose positions parts divide.

        Args:
            rows, each: the grid; position ``p`` is ``p mod each`` of row ``p div each``. Positions after the
                last row belong to other loops.
            body: (row, position within it) → the statement.
            before: row → statements that come before those of its positions.
        """
        if rows == 1:
            ahead = before(const(0))
            one = self.part_row(0, each, 1, lambda within: body(const(0), within))
            some = tirx.LT(self.begin, const(each))
            return tirx.IfThenElse(some, sequence([*ahead, one]), None) if ahead else one
        row, within = self.axis("c", rows), self.axis("w", each)
        low = tirx.max(self.begin - row * const(each), const(0))
        high = tirx.min(self.end - row * const(each), const(each))
        one_row = tirx.For(within, low, high - low, tirx.ForKind.SERIAL, body(row, within))
        first = tirx.truncdiv(self.begin, const(each))
        last = tirx.truncdiv(tirx.min(self.end, const(rows * each)) + const(each - 1), const(each))
        return tirx.For(row, first, last - first, tirx.ForKind.SERIAL, sequence([*before(row), one_row]))

    def part_row(self, before: int, count: int, together: int, body: Callable[[Any], Any]) -> Any:
        """A loop over ``[0, count)`` whose trips parts divide, some of them ``together`` at one position.

        ``before`` positions belong to other loops.
        """
        within = self.axis("w", count)
        low = tirx.max(self.begin - const(before), const(0)) * const(together)
        high = tirx.min((self.end - const(before)) * const(together), const(count))
        return tirx.For(within, low, high - low, tirx.ForKind.SERIAL, body(within))

    def part_rows(self, columns: int, column: Any) -> tuple[Any, Any]:
        """The rows of one column of a grid that are this part's: the first, and the one after the last.

        Parts divide the positions ``row * columns + column``. So a part has whole rows but at its ends, and
        may still work down one column after another.
        """
        ahead = const(columns - 1) - column
        return (
            tirx.truncdiv(self.begin + ahead, const(columns)),
            tirx.truncdiv(self.end + ahead, const(columns)),
        )

    def function(self, body: Body) -> Any:
        """The kernel as a PrimFunc over raw pointers that returns 0."""
        declared = [
            tirx.DeclBuffer(self._flat[buffer], data=data)
            for buffer, data in zip(self.buffers, self._data, strict=True)
        ]
        statement = tirx.SeqStmt([*declared, body.statement, tirx.stmt.Return(const(0))])
        func = tirx.PrimFunc([*self._data, self.begin, self.end], statement, PrimType(INDEX))
        return func.with_attr("tirx.noalias", True)


def loop(var: Any, extent: int, body: Any, kind: Any = tirx.ForKind.SERIAL) -> Any:
    """A loop over ``[0, extent)``."""
    return tirx.For(var, const(0), const(extent), kind, body)


def sequence(statements: list[Any]) -> Any:
    """Statements one after another."""
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(statements)


def local(name: str, lanes: int, dtype: str) -> Any:
    """A small buffer that the code generator keeps in registers."""
    return tirx.decl_buffer((lanes,), dtype, name)


def split_flat(var: Expr, extents: list[int]) -> list[Expr]:
    """The indices of a row-major position: the inverse of a flat index."""
    places: list[Expr] = []
    rest = var
    for position, extent in enumerate(reversed(extents)):
        last = position == len(extents) - 1
        places.append(rest if last else tirx.floormod(rest, const(extent)))
        rest = tirx.floordiv(rest, const(extent))
    return places[::-1]


def no_division(expr: Expr) -> bool:
    """Whether an index has neither division nor remainder left, so that it is linear."""
    text = str(expr)
    return "//" not in text and "%" not in text


def spatial_vars(stage: Stage) -> list[Any]:
    """The variables of a stage's spatial axes."""
    return [axis.var for axis in stage.spatial]
