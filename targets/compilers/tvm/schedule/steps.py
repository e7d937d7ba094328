"""Numbers to steps of an eight-bit grid in registers, as QuantizeLinear says."""

from __future__ import annotations

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.mathematics import ROUNDING, ROUNDING_BITS
from edgepress.targets.compilers.tvm.schedule.division import divided, same_steps
from edgepress.targets.compilers.tvm.schedule.raw import RawFrame
from edgepress.targets.compilers.tvm.schedule.vectors import all_of, spread


class Steps:
    """A grid as code: its numbers are read, so that kernels of different grids are one.

    Args:
        frame: of the kernel.
        name: of the grid in it.
        grid: the grid of this call.
    """

    def __init__(self, frame: RawFrame, name: str, grid: Grid) -> None:
        self.frame, self.name, self.grid = frame, name, grid

    def _number(self, name: str, value: float, lanes: int = 1) -> Expr:
        return spread(self.frame.number(f"{self.name}.{name}", value), lanes)

    def real(self, lanes: int) -> Expr:
        """The zero point as fp32."""
        return self._number("zero", float(self.grid.zero), lanes)

    def zero(self) -> Expr:
        """The zero point as int32."""
        return tirx.Cast("int32", self._number("zero", float(self.grid.zero)))

    def quotient(self, value: Expr) -> Expr:
        """``value / scale``, to be rounded to a step: by multiplications where they give the same one."""
        lanes = int(value.ty.dtype.lanes)
        scale = self._number("scale", self.grid.scale, lanes)
        if not self.frame.fused or not same_steps(self.grid):
            return value / scale
        reciprocal = float(np.float32(1) / np.float32(self.grid.scale))
        return divided(value, scale, self._number("reciprocal", reciprocal, lanes))

    def whole(self, value: Expr) -> Expr:
        """Real numbers in steps as whole steps from the zero point, held inside the grid: int32."""
        lanes = int(value.ty.dtype.lanes)
        high, low = self._number("high", self.grid.high, lanes), self._number("low", self.grid.low, lanes)
        held = tirx.max(tirx.min(value, high), low)
        # By way of the bits: taking the constant away again would be simplified to nothing.
        kind = f"int32x{lanes}" if lanes > 1 else "int32"
        return tirx.reinterpret(kind, held + all_of(ROUNDING, lanes)) - spread(const(ROUNDING_BITS), lanes)

    def rounded(self, value: Expr) -> Expr:
        """The same as fp32."""
        steps = self.whole(value)
        return tirx.Cast(str(steps.ty.dtype).replace("int32", "float32"), steps)

    def as_bytes(self, steps: Expr, offset: int = 0, dtype: str = "") -> Expr:
        """Whole steps from the zero point as bytes, less ``offset``, of the grid's type or another."""
        lanes = int(steps.ty.dtype.lanes)
        moved = steps + spread(self.zero() - const(offset), lanes)
        kind = dtype or self.grid.dtype
        return tirx.Cast(f"{kind}x{lanes}" if lanes > 1 else kind, moved)
