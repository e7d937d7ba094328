"""The frame of an attention's kernel: where each head's rows lie, and how they are read and written."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.attention_form import Attention, Operand
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.raw import RawFrame
from edgepress.targets.compilers.tvm.schedule.steps import Steps
from edgepress.targets.compilers.tvm.schedule.vectors import padded


class AttentionFrame(RawFrame):
    """Each trip of the outermost loop is one head; ``form`` says what is computed."""

    def __init__(self, func: Any, form: Attention, machine: Machine) -> None:
        super().__init__(func, int(np.prod(form.outer, dtype=np.int64)), machine)
        self.form = form
        self.grids = [Steps(self, str(i), grid) for i, grid in enumerate(form.grids)]
        self._places = split_flat(self.trip, list(form.outer)) if form.outer else []

    def start(self, operand: Operand) -> Expr:
        """Where this head's rows of an operand begin."""
        total: Expr = const(operand.base)
        for stride, place in zip(operand.outer, self._places, strict=True):
            total = total + place * const(stride)
        return self.simplify(total)

    def numbers(self, operand: Operand, row: Expr, first: Expr, count: int, grid: Steps | None) -> Expr:
        """A register of a row, from place ``first`` on; in a quantised attention, steps from the zero point.

        Lanes after ``count`` hold zeros.
        """
        offset = self.start(operand) + row * const(operand.row) + first
        return padded(
            lambda at, size: self._number(operand, offset + const(at), size, grid), count, self.lanes
        )

    def _number(self, operand: Operand, offset: Expr, lanes: int, grid: Steps | None) -> Expr:
        value = self.read(operand.buffer, offset, lanes)
        if grid is None:
            return value
        if operand.dtype == "float32":
            return grid.rounded(grid.quotient(value))
        kind = f"float32x{lanes}" if lanes > 1 else "float32"
        return tirx.Cast(kind, value) - grid.real(lanes)

    def store(self, row: Expr, first: Expr, count: int, value: Expr) -> list[Any]:
        """The statements that store the first ``count`` lanes of a register in the result."""
        out = self.form.out
        if self.grids:
            value = self.grids[-1].as_bytes(value)
        offset = self.start(out) + row * const(out.row) + first
        return self.write_some(self.result, offset, value, count)
