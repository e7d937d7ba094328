"""The frame of a kernel that is written as a whole: raw pointers, temporaries, one outermost loop that is divided."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx
from tvm.ir import PointerType, PrimType

from edgepress.targets.compilers.tvm.expressions import INDEX, Expr, analyzer, const, dtype_of, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, LoopVariables
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.registers import pieces

# The function, its buffers (numbers and temporaries last), its body, the buffers' types, the numbers.
Made = tuple[Any, list[Any], Body, tuple[str, ...], dict[Any, np.ndarray]]


_MOST_NUMBERS = 48


class RawFrame(LoopVariables):
    """Buffers and loop variables of one kernel.

    Attributes:
        buffers: those of the PrimFunc that the kernel stands for, temporaries after them.
        lanes: fp32 lanes of a register.
        fused: whether a multiply-add that rounds once is an instruction.
        trip: the variable of the outermost loop.
        trips: its extent.
    """

    def __init__(self, func: Any, trips: int, machine: Machine) -> None:
        self.lanes, self.trips, self.fused = machine.lanes, trips, machine.fused
        self.buffers: list[Any] = []
        self._flat: list[Any] = []
        self._data: list[Any] = []
        for buffer in func.params:
            self._declare(buffer)
        self.result = len(self.buffers) - 1
        self._begin, self._end = tirx.Var("begin", INDEX), tirx.Var("end", INDEX)
        self.trip = tirx.Var("trip", INDEX)
        self._arith = analyzer({self.trip: trips})
        self._count = 0
        self._slots: dict[str, tuple[int, float]] = {}
        self._numbers = -1

    def _declare(self, buffer: Any) -> int:
        number, count = len(self.buffers), 1
        for extent in shape_of(buffer):
            count *= extent
        data = tirx.Var(f"p{number}", PointerType(PrimType(dtype_of(buffer)), "global"))
        self.buffers.append(buffer)
        self._data.append(data)
        self._flat.append(tirx.decl_buffer((max(count, 1),), dtype_of(buffer), f"b{number}"))
        return number

    def scratch(self, count: int, dtype: str) -> Scratch:
        """Memory of ``count`` elements that every trip has of its own."""
        size = -(-count // 64) * 64
        number = self._declare(tirx.decl_buffer((self.trips * size,), dtype, f"scratch{len(self.buffers)}"))
        return Scratch(self, number, size)

    def number(self, name: str, value: float) -> Expr:
        """An fp32 number that is read, so that kernels that differ in it alone are one.

        Args:
            name: the same number has the same name.
            value: what it is for this call.
        """
        if self._numbers < 0:
            self._numbers = self._declare(tirx.decl_buffer((_MOST_NUMBERS,), "float32", "numbers"))
        slot, _ = self._slots.setdefault(name, (len(self._slots), value))
        return tirx.BufferLoad(self._flat[self._numbers], [const(slot)])

    def read(self, number: int, offset: Expr, lanes: int) -> Expr:
        """Neighbouring elements of a buffer."""
        where = self.simplify(offset)
        place = tirx.Ramp(where, const(1), lanes) if lanes > 1 else where
        return tirx.BufferLoad(self._flat[number], [place])

    def write(self, number: int, offset: Expr, value: Expr) -> Any:
        """The statement that stores a number or a register."""
        lanes, where = int(value.ty.dtype.lanes), self.simplify(offset)
        place = tirx.Ramp(where, const(1), lanes) if lanes > 1 else where
        return tirx.BufferStore(self._flat[number], value, [place])

    def write_some(self, number: int, offset: Expr, value: Expr, count: int) -> list[Any]:
        """The statements that store the first ``count`` lanes of a register."""
        var = tirx.Var("o", value.ty)
        done: list[Any] = [tirx.Bind(var, value)]
        for at, size in pieces(count, int(value.ty.dtype.lanes)):
            piece = var if size == self.lanes else tirx.Shuffle([var], [const(at + i) for i in range(size)])
            done.append(self.write(number, offset + const(at), piece))
        return done

    def made(self, statements: list[Any], family: str, tile: str = "") -> Made:
        """The kernel: the statements for each trip of a share, and what the caller wants to know of it."""
        body = tirx.SeqStmt(statements) if len(statements) > 1 else statements[0]
        loop = tirx.For(self.trip, self._begin, self._end - self._begin, tirx.ForKind.SERIAL, body)
        declared = [
            tirx.DeclBuffer(flat, data=data) for flat, data in zip(self._flat, self._data, strict=True)
        ]
        whole = tirx.SeqStmt([*declared, loop, tirx.stmt.Return(const(0))])
        func = tirx.PrimFunc([*self._data, self._begin, self._end], whole, PrimType(INDEX))
        dtypes = tuple(dtype_of(buffer) for buffer in self.buffers)
        numbers = np.zeros(_MOST_NUMBERS, np.float32)
        for slot, value in self._slots.values():
            numbers[slot] = value
        given = {self.buffers[self._numbers]: numbers} if self._slots else {}
        whole_body = Body(body, self.trips, tile, family=family)
        return func.with_attr("tirx.noalias", True), self.buffers, whole_body, dtypes, given


class Scratch:
    """One trip's share of a temporary."""

    def __init__(self, frame: RawFrame, number: int, size: int) -> None:
        self.frame, self.number = frame, number
        self._first = frame.trip * const(size)

    def read(self, offset: Expr, lanes: int = 1) -> Expr:
        """Neighbouring elements."""
        return self.frame.read(self.number, self._first + offset, lanes)

    def write(self, offset: Expr, value: Expr) -> Any:
        """The statement that stores a number or a register."""
        return self.frame.write(self.number, self._first + offset, value)
