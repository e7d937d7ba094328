"""How a sum of products lies in memory: which operand runs along rows, which along columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, is_load, uses
from edgepress.targets.compilers.tvm.kernel import Frame, no_division, split_flat
from edgepress.targets.compilers.tvm.stages import Axis, Nest, Stage


@dataclass(frozen=True)
class Contraction:
    """``sum(row * column)``: ``column`` lies along the last spatial axis, ``row`` does not depend on it.

    ``row_cast`` and ``column_cast`` are the types the operands are widened to, or empty.
    """

    stage: Stage
    row: Any
    column: Any
    row_cast: str
    column_cast: str


def read_contraction(stage: Stage) -> Contraction | None:
    """The operands of a stage that adds up products of two buffer reads, or None."""
    value = stage.value
    if not isinstance(value, tirx.Add) or len(stage.spatial) < 1:
        return None
    own, product = (
        (value.a, value.b)
        if is_load(value.a) and value.a.source.same_as(stage.buffer)
        else (value.b, value.a)
    )
    if not is_load(own) or not own.source.same_as(stage.buffer) or not isinstance(product, tirx.Mul):
        return None
    operands = []
    for operand in (product.a, product.b):
        cast = ""
        if isinstance(operand, tirx.Cast):
            cast, operand = str(operand.ty.dtype), operand.value
        if not is_load(operand):
            return None
        operands.append((operand, cast))
    last = stage.spatial[-1].var
    (a, a_cast), (b, b_cast) = operands
    if not _depends(a, last) and _depends(b, last):
        return Contraction(stage, a, b, a_cast, b_cast)
    if not _depends(b, last) and _depends(a, last):
        return Contraction(stage, b, a, b_cast, a_cast)
    return None


def multiplies(stage: Stage) -> bool:
    """Whether each step of a reduction is one multiply-add."""
    value = stage.value
    return isinstance(value, tirx.Add) and any(isinstance(side, tirx.Mul) for side in (value.a, value.b))


def _depends(load: Any, var: Any) -> bool:
    return any(uses(index, var) for index in load.indices)


def steps_by_one(
    frame: Frame, load: Any, variables: Mapping[Any, Expr], var: Any, base: Expr, count: int
) -> bool:
    """Whether a read moves by one element for each of ``count`` steps of ``var`` from ``base`` on."""
    first = frame.load_offset(load, {**variables, var: base})
    for step in {1, count - 1} - {0}:
        there = frame.load_offset(load, {**variables, var: base + const(step)})
        gap = frame.simplify(there - first)
        if not isinstance(gap, tirx.IntImm) or int(gap) != step:
            return False
    return True


@dataclass(frozen=True)
class RowSpace:
    """The rows of a contraction: loops outside, and one row axis that tiles cut.

    Attributes:
        outer: axes that stay as one outer loop.
        inner: axes that together make the row axis.
    """

    outer: tuple[Axis, ...]
    inner: tuple[Axis, ...]

    @property
    def rows(self) -> int:
        """How many rows the row axis has."""
        return _product(self.inner)

    @property
    def blocks(self) -> int:
        """How many trips the outer loop makes."""
        return _product(self.outer)

    def batched(self, contraction: Contraction) -> bool:
        """Whether each trip of the outer loop has columns of its own."""
        return any(axis.extent > 1 and _depends(contraction.column, axis.var) for axis in self.outer)

    def place(self, frame: Frame, block: Expr, row: Expr) -> dict[Any, Expr]:
        """What each spatial axis but the last is, at a trip of the outer loop and a row."""
        variables: dict[Any, Expr] = {}
        for axes, position in ((self.outer, block), (self.inner, row)):
            if axes:
                for axis, index in zip(axes, split_flat(position, [a.extent for a in axes]), strict=True):
                    variables[axis.var] = frame.simplify(index)
        return variables


def _product(axes: tuple[Axis, ...]) -> int:
    total = 1
    for axis in axes:
        total *= axis.extent
    return total


def row_space(nest: Nest, frame: Frame, contraction: Contraction) -> RowSpace:
    """The longest run of spatial axes, from the last but one outwards, that a linear row index covers.

    Axes on which columns depend are never among them.
    """
    axes = contraction.stage.spatial[:-1]
    rows = [axis for axis in axes if axis.extent > 1 and not _depends(contraction.column, axis.var)]
    best = RowSpace(axes, ())
    for cut in range(len(rows) - 1, -1, -1):
        inner = tuple(rows[cut:])
        outer = tuple(axis for axis in axes if not any(axis is own for own in inner))
        space = RowSpace(outer, inner)
        block, row = frame.axis("t", space.blocks), frame.axis("t", space.rows)
        variables = space.place(frame, block, row)
        for axis in (*contraction.stage.reduction, contraction.stage.spatial[-1]):
            variables[axis.var] = frame.axis("t", axis.extent)
        if len(inner) > 1 and not _linear(nest, frame, contraction, variables):
            break
        best = space
    return best


@dataclass(frozen=True)
class SumAxis:
    """The innermost loop of a contraction: trailing summed axes along which both operands are linear."""

    axes: tuple[Axis, ...]

    @property
    def extent(self) -> int:
        """How many products it adds up."""
        return _product(self.axes)

    def place(self, frame: Frame, step: Expr) -> dict[Any, Expr]:
        """What each of the axes is at a step."""
        indices = split_flat(step, [axis.extent for axis in self.axes])
        return {axis.var: frame.simplify(index) for axis, index in zip(self.axes, indices, strict=True)}


def sum_axis(frame: Frame, contraction: Contraction) -> SumAxis:
    """As many trailing summed axes as act as one: the channels of neighbouring places lie together."""
    stage = contraction.stage
    reduction = stage.reduction
    for first in range(len(reduction)):
        axis = SumAxis(reduction[first:])
        variables: dict[Any, Expr] = {
            a.var: frame.axis("t", a.extent) for a in (*stage.spatial, *reduction[:first])
        }
        # The column's own index has a remainder of its own: its first panel stands for all.
        variables[stage.spatial[-1].var] = const(0)
        variables |= axis.place(frame, frame.axis("t", axis.extent))
        if all(
            no_division(frame.load_offset(load, variables)) for load in (contraction.row, contraction.column)
        ):
            return axis
    return SumAxis(reduction[-1:])


def _linear(nest: Nest, frame: Frame, contraction: Contraction, variables: dict[Any, Expr]) -> bool:
    stage = nest.stage
    return no_division(frame.load_offset(contraction.row, variables)) and no_division(
        frame.offset(stage.buffer, frame.indices_of(list(stage.indices), variables))
    )
