"""Division by multiplications with the reciprocal, and whether QuantizeLinear's steps stay the same."""

from __future__ import annotations

from functools import cache

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr
from edgepress.targets.compilers.tvm.grids import Grid
from edgepress.targets.compilers.tvm.schedule.vectors import all_of

_NEAR = 16  # neighbours of each place where the rounded quotient changes that are tried


def divided(value: Expr, by: Expr, reciprocal: Expr) -> Expr:
    """The quotient by two multiply-adds that round once each, to the last bit nearly always.

    With the reciprocal ``r``: ``q = value · r``, then ``q + r · (value − q · by)`` (Markstein, 1990).
    """
    held, first = tirx.Var("x", value.ty), tirx.Var("q", value.ty)
    rest = _fma(first, _negative(by), held)
    return tirx.Let(held, value, tirx.Let(first, held * reciprocal, _fma(rest, reciprocal, first)))


def _negative(value: Expr) -> Expr:
    return all_of(0.0, int(value.ty.dtype.lanes)) - value


@cache
def same_steps(grid: Grid) -> bool:
    """Whether the multiplications round to the steps that the division does, next to every boundary."""
    scale = np.float32(grid.scale)
    reciprocal = np.float32(1) / scale
    if not np.isfinite(reciprocal) or reciprocal < np.finfo(np.float32).tiny:
        return False
    middle = (np.arange(grid.low - 1, grid.high + 1) + 0.5).astype(np.float32) * scale
    bits = middle.view(np.int32)[:, None] + np.arange(-_NEAR, _NEAR + 1, dtype=np.int32)
    value = bits.view(np.float32)
    first = value * reciprocal
    rest = (value.astype(np.float64) - first.astype(np.float64) * np.float64(scale)).astype(np.float32)
    second = (rest.astype(np.float64) * np.float64(reciprocal) + first).astype(np.float32)
    return bool(np.array_equal(np.rint(second), np.rint(value / scale)))


def _fma(a: Expr, b: Expr, c: Expr) -> Expr:
    dtype = str(c.ty.dtype)
    name = dtype.replace("float32x", "v") + "f32" if "x" in dtype else "f32"
    return tirx.call_llvm_pure_intrin(dtype, f"llvm.fma.{name}", a, b, c)
