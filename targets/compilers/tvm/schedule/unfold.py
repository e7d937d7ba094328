"""Panels of folded weights made bytes before the tiles of a panel's rows read them, in memory of the kernel's own.

Where shifting a register of weights costs as much as a multiply-add, it is done once for all tiles of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import INDEX, Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Frame, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.schedule.columns8 import Columns
from edgepress.targets.compilers.tvm.schedule.contraction import Contraction
from edgepress.targets.compilers.tvm.schedule.registers import pieces

MOST_BYTES = 80 * 1024  # of the stack: the smallest that systems give a thread is 128 KB


@dataclass(frozen=True)
class Unfolded:
    """Weights as bytes, in the order of the folded ones: ``[slots, places, steps, panel, depth]``.

    Attributes:
        buffer: where they lie.
        stride: a variable, the bytes of a place of the window.
        contraction: what they are of.
        columns: how they are folded.
        slots: 1, or as many as there are panels.
        places: of the window.
        runs: of folded bytes, at a place.
        size: bytes of a run, as of a step.
        register: bytes of a vector register.
    """

    buffer: Any
    stride: Any
    contraction: Contraction
    columns: Columns
    slots: int
    places: int
    runs: int
    size: int
    register: int

    def declared(self, frame: Frame) -> list[Any]:
        """The statements that make the memory."""
        # The code generator cannot see that the stride is constant: else it would put distances between places
        # into each load, where Arm takes no pairs of loads.
        stride = const(self.runs * FIELDS * self.size) + tirx.min(frame.begin, const(0))
        return [tirx.AllocBuffer(self.buffer), tirx.Bind(self.stride, stride)]

    def read(
        self, frame: Frame, variables: Mapping[Any, Expr], panel: Expr, step: Expr, column: int, count: int
    ) -> Expr:
        """``count`` bytes from a column of the panel on, at a step of the innermost axis of the sum."""
        place: Expr = panel if self.slots > 1 else const(0)
        for axis in self.contraction.stage.reduction[:-1]:
            place = place * const(axis.extent) + variables[axis.var]
        depth = self.columns.depth
        within = frame.simplify(step * const(self.size // depth) + const(column * depth))
        start = frame.simplify(place) * self.stride + within
        return tirx.BufferLoad(self.buffer, [_span(start, count)])

    def fill(self, frame: Frame, place: Mapping[Any, Expr], panel: Expr, first: Expr, width: int) -> Any:
        """The statement that makes the panel whose first column is ``first`` from there to ``width`` columns on.

        ``place`` is any of its rows.
        """
        stage, load, every = self.contraction.stage, self.contraction.column, self.places * self.runs
        zeros = {axis.var: const(0) for axis in stage.reduction}
        start = frame.load_offset(load, {**zeros, **place, stage.spatial[-1].var: first})
        run = frame.axis("u", every)
        slot = panel * const(every * FIELDS * self.size) if self.slots > 1 else const(0)
        whole = -(-width * self.columns.depth // self.register) * self.register
        done: list[Any] = []
        for at, count in pieces(min(whole, self.size), self.register):
            source = frame.simplify(start + run * const(self.size) + const(at))
            held = frame.vector(load.source, source, count)
            var = tirx.Var("v", held.ty)
            done.append(tirx.Bind(var, held))
            for field in range(FIELDS):
                value = self.columns.register(var, field * self.columns.depth)
                to = frame.simplify(
                    slot + (run * const(FIELDS) + const(field)) * const(self.size) + const(at)
                )
                byte = value if count > 1 else tirx.Cast("int8", value)
                done.append(tirx.BufferStore(self.buffer, byte, [_span(to, count)]))
        return loop(run, every, sequence(done))


def _span(start: Expr, count: int) -> Expr:
    return tirx.Ramp(start, const(1), count) if count > 1 else start


def unfolded(
    contraction: Contraction, columns: Columns, machine: Machine, tiles: int, outside: int
) -> Unfolded | None:
    """Where the weights of a kernel are unfolded, or None where its tiles do that.

    Args:
        contraction: the kernel's.
        columns: how weights are read.
        machine: C source is for processors whose stacks are small.
        tiles: how many tiles of rows read one panel.
        outside: size up to which all panels are unfolded at once, for tiles that go through all of them.
    """
    if not columns.gain or machine.c_source or tiles < columns.tiles:
        return None
    *_, runs, panel, depth = shape_of(contraction.column.source)
    places = prod(axis.extent for axis in contraction.stage.reduction[:-1])
    each = places * runs * panel * depth * FIELDS
    whole = prod(shape_of(contraction.column.source)) * FIELDS
    fits = whole <= min(outside, MOST_BYTES)
    if not fits and each > MOST_BYTES:
        return None
    slots = whole // each if fits else 1
    buffer = tirx.decl_buffer((each * slots,), "int8", "unfolded", data_alignment=64)
    stride = tirx.Var("stride", INDEX)
    register = 4 * machine.lanes if machine.lanes > 1 else 1
    return Unfolded(buffer, stride, contraction, columns, slots, places, runs, panel * depth, register)
