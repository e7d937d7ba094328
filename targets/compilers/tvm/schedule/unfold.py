"""Panels of folded weights made bytes before the tiles of a panel's rows read them, in memory of the kernel's own.

Where shifting a register of weights costs as much as a multiply-add, it is done once for all tiles of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, loop, sequence
from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.schedule.columns8 import Columns
from edgepress.targets.compilers.tvm.schedule.contraction import Contraction
from edgepress.targets.compilers.tvm.schedule.registers import pieces

MOST_BYTES = 80 * 1024  # of the stack: the smallest that systems give a thread is 128 KB
_LEAST_TILES = 3  # of rows, that read what was unfolded


@dataclass(frozen=True)
class Unfolded:
    """Weights as bytes, in the order of the folded ones: ``[slots, *window, steps, panel, depth]``.

    Attributes:
        buffer: where they lie.
        contraction: what they are of.
        columns: how they are folded.
        slots: 1, or as many as there are panels.
        register: bytes of a vector register.
    """

    buffer: Any
    contraction: Contraction
    columns: Columns
    slots: int
    register: int

    def _shape(self) -> tuple[int, int]:
        """Runs of a panel, and bytes of a run in memory."""
        shape = shape_of(self.contraction.column.source)
        window = len(self.contraction.stage.reduction) - 1
        return prod(shape[len(shape) - 3 - window : -2]), shape[-2] * shape[-1]

    def read(self, variables: Mapping[Any, Expr], panel: Expr, step: Expr, column: int, count: int) -> Expr:
        """``count`` bytes from a column of the panel on, at a step of the innermost axis of the sum."""
        *window, _ = self.contraction.stage.reduction
        runs, size = self._shape()
        each = runs // prod(axis.extent for axis in window) * FIELDS * size
        at: Expr = panel if self.slots > 1 else const(0)
        for axis in window:
            at = at * const(axis.extent) + variables[axis.var]
        depth = self.columns.depth
        place = at * const(each) + step * const(size // depth) + const(column * depth)
        where = tirx.Ramp(place, const(1), count) if count > 1 else place
        return tirx.BufferLoad(self.buffer, [where])

    def fill(self, frame: Frame, place: Mapping[Any, Expr], panel: Expr, panel_columns: int, width: int) -> Any:
        """The statement that makes ``width`` columns of a panel; ``place`` is any of its rows."""
        stage = self.contraction.stage
        runs, size = self._shape()
        zeros = {axis.var: const(0) for axis in stage.reduction}
        where = {**zeros, **place, stage.spatial[-1].var: panel * const(panel_columns)}
        first = frame.load_offset(self.contraction.column, where)
        run = frame.axis("u", runs)
        slot = panel * const(runs * FIELDS * size) if self.slots > 1 else const(0)
        done: list[Any] = []
        for at, count in pieces(-(-width * self.columns.depth // self.register) * self.register, self.register):
            if at >= size:
                break
            count = min(count, size - at)
            source = frame.simplify(first + run * const(size) + const(at))
            held = frame.vector(self.contraction.column.source, source, count)
            var = tirx.Var("v", held.ty)
            done.append(tirx.Bind(var, held))
            for field in range(FIELDS):
                value = self.columns.register(var, field * self.columns.depth)
                place_of = slot + (run * const(FIELDS) + const(field)) * const(size) + const(at)
                done.append(tirx.BufferStore(self.buffer, value, [tirx.Ramp(place_of, const(1), count)]))
        return loop(run, runs, sequence(done))


def unfolded(
    contraction: Contraction, columns: Columns, lanes: int, tiles: int, outside: int
) -> Unfolded | None:
    """Where the weights of a kernel are unfolded, or None where its tiles do that.

    Args:
        contraction: the kernel's.
        columns: how weights are read.
        lanes: fp32 lanes of a register.
        tiles: how many tiles of rows read one panel.
        outside: size up to which all panels are unfolded at once, for tiles that go through all of them.
    """
    if columns.gain != 1 or lanes == 1 or tiles < _LEAST_TILES:
        return None
    shape = shape_of(contraction.column.source)
    window = len(contraction.stage.reduction) - 1
    each = prod(shape[len(shape) - 3 - window :]) * FIELDS
    whole = prod(shape) * FIELDS
    fits = whole <= min(outside, MOST_BYTES)
    if not fits and each > MOST_BYTES:
        return None
    slots = whole // each if fits else 1
    buffer = tirx.decl_buffer((each * slots,), "int8", "unfolded", data_alignment=64)
    return Unfolded(buffer, contraction, columns, slots, 4 * lanes)
