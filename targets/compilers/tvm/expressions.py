"""TIR expressions taken apart and put together again: substitution, and 64-bit indices made 32-bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import ir, tirx

INDEX = "int32"
Expr = Any  # TVM's expression classes carry no annotations that mypy could follow
Rename = Callable[[Any], Any]

_ARITHMETIC = {
    tirx.Add: tirx.Add, tirx.Sub: tirx.Sub, tirx.Mul: tirx.Mul, tirx.Div: tirx.Div, tirx.Mod: tirx.Mod,
    tirx.FloorDiv: tirx.FloorDiv, tirx.FloorMod: tirx.FloorMod, tirx.Min: tirx.Min, tirx.Max: tirx.Max,
}  # fmt: skip
_BITS = (tirx.LShift, tirx.RShift)
_COMPARISON = (tirx.EQ, tirx.NE, tirx.LT, tirx.LE, tirx.GT, tirx.GE)


def const(value: int) -> Expr:
    """An index constant."""
    return tirx.IntImm(INDEX, value)


def dtype_of(expr: Expr) -> str:
    """The element type of an expression or of a buffer, lanes included."""
    return str(expr.ty.dtype)


def shape_of(buffer: Any) -> tuple[int, ...]:
    """The static extents of a buffer.

    Raises:
        ValueError: an extent is not a constant.
    """
    extents = []
    for extent in buffer.ty.shape:
        if not isinstance(extent, tirx.IntImm):
            raise ValueError(f"the extent {extent} of {buffer.name} is not known at build time")
        extents.append(int(extent.value))
    return tuple(extents)


def is_load(expr: Expr) -> bool:
    """Whether the expression reads an element of a buffer."""
    return isinstance(expr, ir.expr.TensorLoad)


def loads(expr: Expr) -> list[Any]:
    """Every buffer read in an expression, outermost last, duplicates included."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expr, (ir.expr.TensorLoad, lambda load: found.append(load)), order="post")
    return found


def calls(expr: Expr) -> list[Any]:
    """Every intrinsic call in an expression."""
    found: list[Any] = []
    tvm_ffi.structural_walk(expr, (ir.Call, lambda call: found.append(call)), order="post")
    return found


def uses(expr: Expr, var: Any) -> bool:
    """Whether a variable occurs in an expression."""
    found: list[Any] = []
    tvm_ffi.structural_walk(
        expr, (ir.Var, lambda v: found.append(v) if v.same_as(var) else None), order="post"
    )
    return bool(found)


def substitute(expr: Expr, values: Mapping[Any, Expr]) -> Expr:
    """Replace variables by expressions of the same type."""
    if not values:
        return expr
    return tvm_ffi.structural_map(expr, (ir.Var, lambda v: values.get(v, v)))


def replace_loads(expr: Expr, change: Callable[[Any], Any]) -> Expr:
    """Replace buffer reads, innermost first, by what ``change`` gives for each."""
    return tvm_ffi.structural_map(expr, (ir.expr.TensorLoad, change))


def is_index(expr: Expr) -> bool:
    """Whether an int64 expression is made of loop variables and constants alone."""
    if isinstance(expr, tirx.IntImm):
        return True
    if isinstance(expr, ir.Var):
        return dtype_of(expr) in ("int64", "int32")
    if type(expr) in _ARITHMETIC:
        return is_index(expr.a) and is_index(expr.b)
    return False


class Narrow:
    """Rewrites an expression over 64-bit loop variables to 32-bit ones.

    Args:
        variables: what each loop variable becomes, an ``int32`` expression.
        read: what a buffer read becomes, given the buffer and the narrowed indices.
    """

    def __init__(self, variables: Mapping[Any, Expr], read: Callable[[Any, list[Expr]], Expr]) -> None:
        self.variables = variables
        self.read = read

    def index(self, expr: Expr) -> Expr:
        """An index as an ``int32`` expression."""
        if isinstance(expr, tirx.IntImm):
            return const(int(expr.value))
        if isinstance(expr, ir.Var) and expr in self.variables:
            return self.variables[expr]
        if type(expr) in _ARITHMETIC and dtype_of(expr) in ("int64", INDEX):
            return _ARITHMETIC[type(expr)](self.index(expr.a), self.index(expr.b))
        if isinstance(expr, tirx.Cast) and is_index(expr.value):
            return self.index(expr.value)
        value = self.value(expr)
        return value if dtype_of(value) == INDEX else tirx.Cast(INDEX, value)

    def value(self, expr: Expr) -> Expr:
        """An expression of any type; the result has the type of the original."""
        if isinstance(expr, ir.Var):
            if expr not in self.variables:
                return expr
            return self._as(self.variables[expr], dtype_of(expr))
        if isinstance(expr, tirx.IntImm | tirx.FloatImm | ir.StringImm):
            return expr
        if is_load(expr):
            return self.read(expr.source, [self.index(i) for i in expr.indices])
        if type(expr) in _ARITHMETIC:
            if dtype_of(expr) == "int64" and is_index(expr):
                return tirx.Cast("int64", self.index(expr))
            return _ARITHMETIC[type(expr)](self.value(expr.a), self.value(expr.b))
        if isinstance(expr, _COMPARISON):
            if dtype_of(expr.a) == "int64" and is_index(expr.a) and is_index(expr.b):
                return type(expr)(self.index(expr.a), self.index(expr.b))
            return type(expr)(self.value(expr.a), self.value(expr.b))
        if isinstance(expr, (tirx.And, tirx.Or, *_BITS)):
            return type(expr)(self.value(expr.a), self.value(expr.b))
        if isinstance(expr, tirx.Not):
            return tirx.Not(self.value(expr.a))
        if isinstance(expr, tirx.Cast):
            if is_index(expr.value):
                return self._as(self.index(expr.value), dtype_of(expr))
            return tirx.Cast(dtype_of(expr), self.value(expr.value))
        if isinstance(expr, tirx.Select):
            return tirx.Select(
                self.value(expr.condition), self.value(expr.true_value), self.value(expr.false_value)
            )
        if isinstance(expr, ir.Call):
            return ir.Call(expr.op, [self.value(a) for a in expr.args], expr.attrs, ret_ty=expr.ty)
        if isinstance(expr, tirx.Let):
            return tirx.Let(expr.var, self.value(expr.value), self.value(expr.body))
        raise ValueError(f"the expression {expr} of kind {type(expr).__name__} is not taken")

    @staticmethod
    def _as(expr: Expr, dtype: str) -> Expr:
        return expr if dtype == INDEX else tirx.Cast(dtype, expr)


def flat_index(shape: tuple[int, ...], indices: list[Expr]) -> Expr:
    """The row-major offset of an element, in elements."""
    offset: Expr = const(0)
    for extent, index in zip(shape, indices, strict=True):
        offset = offset * const(extent) + index
    return offset


def analyzer(ranges: Mapping[Any, int]) -> Any:
    """An arithmetic analyzer that knows each variable lies in ``[0, extent)``."""
    arith = tvm.sym.Analyzer()
    for var, extent in ranges.items():
        arith.bind(var, ir.Range(tirx.IntImm(dtype_of(var), 0), tirx.IntImm(dtype_of(var), extent)))
    return arith
