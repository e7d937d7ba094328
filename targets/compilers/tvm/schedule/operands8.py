"""The operands of quantised sums: activations that may be moved by a constant, weights packed in depths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, is_load
from edgepress.targets.compilers.tvm.kernel import Frame
from edgepress.targets.compilers.tvm.schedule.contraction import Contraction, steps_by_one
from edgepress.targets.compilers.tvm.stages import Axis, Stage


def without_offset(stage: Stage) -> tuple[Stage, int]:
    """A sum of products without the constant that is added to the row operand, and that constant."""
    value = stage.value
    if not isinstance(value, tirx.Add):
        return stage, 0
    for name in ("a", "b"):
        product = getattr(value, name)
        if not isinstance(product, tirx.Mul):
            continue
        for side in ("a", "b"):
            operand = getattr(product, side)
            if isinstance(operand, tirx.Add | tirx.Sub) and isinstance(operand.b, tirx.IntImm):
                offset = int(operand.b) * (1 if isinstance(operand, tirx.Add) else -1)
                other = product.b if side == "a" else product.a
                own = value.b if name == "a" else value.a
                if is_load(own):
                    return replace(stage, value=tirx.Add(own, tirx.Mul(operand.a, other))), offset
    return stage, 0


def packed_by(frame: Frame, contraction: Contraction, columns: Axis, depth: int) -> bool:
    """Whether neighbouring columns lie ``depth`` apart, each column's inputs together."""
    stage = contraction.stage
    inner = stage.reduction[-1]
    variables: dict[Any, Expr] = {axis.var: const(0) for axis in stage.axes}
    first = frame.load_offset(contraction.column, variables)
    if inner.extent % depth:
        return False
    for axis, step in ((columns, depth), (inner, 1)):
        there = frame.load_offset(contraction.column, {**variables, axis.var: const(1)})
        gap = frame.simplify(there - first)
        if axis.extent > 1 and (not isinstance(gap, tirx.IntImm) or int(gap) != step):
            return False
    return True


def row_together(frame: Frame, contraction: Contraction) -> bool:
    """Whether a row's inputs lie together."""
    inner = contraction.stage.reduction[-1]
    variables: dict[Any, Expr] = {axis.var: frame.axis("t", axis.extent) for axis in contraction.stage.axes}
    return steps_by_one(frame, contraction.row, variables, inner.var, const(0), inner.extent)
