"""An fp32 image of few channels put channels last, and padded, in one step.

A vector of neighbouring places is read from each channel's plane; interleaved, they are stored as one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import (
    Expr,
    analyzer,
    const,
    dtype_of,
    is_load,
    shape_of,
    substitute,
)
from edgepress.targets.compilers.tvm.kernel import Body, Frame, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.registers import pieces
from edgepress.targets.compilers.tvm.stages import Nest, Stage

_MOST_CHANNELS = 4


@dataclass(frozen=True)
class _Copy:
    """What is copied: the read, the number outside, and where the image begins in the padded one."""

    read: Any
    outside: float
    top: int
    left: int

    @property
    def height(self) -> int:
        return shape_of(self.read.source)[2]

    @property
    def width(self) -> int:
        return shape_of(self.read.source)[3]


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """The kernel, or None where the nest is no such copy or rows are shorter than a vector."""
    stage, lanes = nest.stage, machine.lanes
    copy = _read(stage) if nest.anchor is None and lanes > 1 else None
    if copy is None or copy.width < lanes:
        return None
    image, row, column, channel = stage.spatial
    part = frame.axis("y", image.extent * row.extent)
    y = frame.simplify(tirx.floormod(part, const(row.extent)))
    base = {
        image.var: frame.simplify(tirx.floordiv(part, const(row.extent))),
        row.var: y,
        channel.var: const(0),
    }

    def filled(first: int, places: int) -> list[Any]:
        """Statements that store the number outside in neighbouring places."""
        start = frame.offset(stage.buffer, [base[image.var], y, const(first), const(0)])
        full, over = divmod(places * channel.extent, lanes)
        done = []
        if full:
            var = frame.axis("x", full)
            done.append(loop(var, full, frame.put_at(start + var * const(lanes), number(lanes))))
        for begin, size in pieces(over, lanes):
            done.append(frame.put_at(start + const(full * lanes + begin), number(size)))
        return done

    def number(size: int) -> Expr:
        value = tirx.FloatImm("float32", copy.outside)
        return tirx.Broadcast(value, size) if size > 1 else value

    def moved(at: Expr) -> Any:
        """A vector of places from a column of the padded row on."""
        planes = []
        for c in range(channel.extent):
            offset = frame.load_offset(copy.read, {**base, column.var: at, channel.var: const(c)})
            planes.append(frame.vector(copy.read.source, offset, lanes))
        order = [const(c * lanes + lane) for lane in range(lanes) for c in range(channel.extent)]
        return frame.put_vector({**base, column.var: at}, tirx.Shuffle(planes, order))

    full, over = divmod(copy.width, lanes)
    var = frame.axis("x", full)
    inside = [*filled(0, copy.left), loop(var, full, moved(var * const(lanes) + const(copy.left)))]
    if over:
        inside.append(moved(const(copy.left + copy.width - lanes)))  # some twice, and no narrower vector
    inside += filled(copy.left + copy.width, column.extent - copy.left - copy.width)
    body = sequence(inside)
    if row.extent > copy.height:
        within = tirx.And(y >= const(copy.top), y < const(copy.top + copy.height))
        body = tirx.IfThenElse(within, body, sequence(filled(0, column.extent)))
    return Body(frame.part_loop(part, body), image.extent * row.extent)


def _read(stage: Stage) -> _Copy | None:
    """What a stage copies, or None where it does something else."""
    value, outside, condition = stage.value, 0.0, None
    if len(stage.axes) != 4 or not stage.plain or dtype_of(stage.buffer) != "float32":
        return None
    if isinstance(value, ir.Call) and str(value.op.name).split(".")[-1] == "if_then_else":
        condition, value, other = value.args
        if not isinstance(other, tirx.FloatImm):
            return None
        outside = float(other.value)
    image, row, column, channel = stage.spatial
    if not is_load(value) or len(value.indices) != 4 or not 2 <= channel.extent <= _MOST_CHANNELS:
        return None
    arith = analyzer({axis.var: axis.extent for axis in stage.axes})
    n, c, y, x = value.indices
    top, left = (arith.simplify(axis.var - index) for axis, index in ((row, y), (column, x)))
    if not n.same_as(image.var) or not c.same_as(channel.var):
        return None
    if not isinstance(top, tirx.IntImm) or not isinstance(left, tirx.IntImm):
        return None
    copy = _Copy(value, outside, int(top), int(left))
    return copy if condition is None or _is_inside(copy, condition, stage) else None


def _is_inside(copy: _Copy, condition: Expr, stage: Stage) -> bool:
    """Whether a condition holds inside the image and nowhere else: it is tried at the image's edges."""
    _, row, column, _ = stage.spatial
    ranges = ((row, copy.top, copy.height), (column, copy.left, copy.width))
    arith = analyzer({axis.var: axis.extent for axis in stage.axes})
    within = {axis.var: tirx.IntImm(dtype_of(axis.var), first) for axis, first, _ in ranges}
    for axis, first, extent in ranges:
        for place in {0, first - 1, first, first + extent - 1, first + extent, axis.extent - 1}:
            if 0 <= place < axis.extent:
                at = {**within, axis.var: tirx.IntImm(dtype_of(axis.var), place)}
                holds = arith.simplify(substitute(condition, at))
                if not isinstance(holds, tirx.IntImm) or bool(int(holds)) != (
                    first <= place < first + extent
                ):
                    return False
    return True
