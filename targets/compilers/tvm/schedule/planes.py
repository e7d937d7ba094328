"""An image quantised into pixels: planes of fp32 become eight-bit pixels of four channels, padded.

A vector of neighbouring places is read from each plane; what it quantises to is put together as words, one
for each pixel.
"""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, dtype_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.registers import get, pieces
from edgepress.targets.compilers.tvm.stages import KERNEL, PLANES, Nest

_CHANNELS = 4  # of a pixel: a word


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """The kernel, or None where the nest is no such quantisation or its rows are shorter than a vector."""
    stage = nest.stage
    if nest.anchor is not None or stage.notes.get(KERNEL) != PLANES or not isinstance(stage.value, ir.Call):
        return None
    inside, zero = stage.value.args[1], int(stage.value.args[2])
    count, top, left, height, width = (int(number) for number in stage.notes[PLANES])
    image, row, column, channel = (axis.var for axis in stage.spatial)
    rows, columns = stage.spatial[1].extent, stage.spatial[2].extent
    lanes, dtype = machine.lanes, dtype_of(stage.buffer)
    if width < lanes:
        return None
    part = frame.axis("y", stage.spatial[0].extent * rows)
    y = frame.simplify(tirx.floormod(part, const(rows)))
    base = {
        image: frame.simplify(tirx.floordiv(part, const(rows))),
        row: y,
        column: const(0),
        channel: const(0),
    }

    def blank(first: int, pixels: int) -> list[Any]:
        """Statements that store the zero point in neighbouring pixels."""
        full, over = divmod(pixels, lanes)
        done: list[Any] = []
        for begin, size in pieces(over, lanes):
            done.append(zeros(const(first + full * lanes + begin), size))
        if full:
            var = frame.axis("x", full)
            done.append(loop(var, full, zeros(var * const(lanes) + const(first), lanes)))
        return done

    def zeros(at: Expr, pixels: int) -> Any:
        value = tirx.Broadcast(tirx.IntImm(dtype, zero), _CHANNELS * pixels)
        return frame.put_vector({**base, column: at}, value)

    def pixels(at: Expr) -> Any:
        """A vector of pixels from a column of the padded row on."""
        words, lane = local("w", lanes, "int32"), frame.axis("v", lanes)
        fixed = sum((zero & 255) << (8 * c) for c in range(count, _CHANNELS))
        word = const(fixed - (fixed >> 31 << 32))
        for c in range(count):
            there = {**base, column: at + lane, channel: const(c)}
            byte = tirx.bitwise_and(tirx.Cast("int32", frame.value(inside, there)), const(255))
            word = tirx.bitwise_or(word, tirx.shift_left(byte, const(8 * c)))
        made = loop(lane, lanes, tirx.BufferStore(words, word, [lane]), tirx.ForKind.VECTORIZED)
        value = tirx.reinterpret(f"{dtype}x{_CHANNELS * lanes}", get(words))
        return sequence([tirx.AllocBuffer(words), made, frame.put_vector({**base, column: at}, value)])

    full, over = divmod(width, lanes)
    var = frame.axis("x", full)
    image_row = [*blank(0, left), loop(var, full, pixels(var * const(lanes) + const(left)))]
    if over:
        image_row.append(pixels(const(left + width - lanes)))  # some pixels twice, and no narrower vector
    image_row += blank(left + width, columns - left - width)
    if rows == height:
        return Body(frame.part_loop(part, sequence(image_row)), stage.spatial[0].extent * rows)
    within = tirx.And(y >= const(top), y < const(top + height))
    body = tirx.IfThenElse(within, sequence(image_row), sequence(blank(0, columns)))
    return Body(frame.part_loop(part, body), stage.spatial[0].extent * rows)
