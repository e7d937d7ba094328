"""Two filters along one axis: neighbouring outputs share what they read, and taps are constants.

A tile is some outputs along the axis by one vector of the run behind it; each input is read once for all of them.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.filters import Filter, filter_of
from edgepress.targets.compilers.tvm.kernel import loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.raw import Made, RawFrame
from edgepress.targets.compilers.tvm.schedule.vectors import Block, all_of

_MANY_REGISTERS = 32


def filter_kernel(func: Any, text: str, machine: Machine) -> Made:
    """The kernel of a pair of filters that a PrimFunc stands for.

    Args:
        func: takes the image and the result.
        text: the form, as :meth:`Filter.text` wrote it.
        machine: one with vector registers.
    """
    form = filter_of(text)
    lanes = machine.lanes
    while lanes > form.inner:
        lanes //= 2
    rows = min(8 if machine.registers >= _MANY_REGISTERS else 4, form.made)
    whole, rest = divmod(form.made, rows)
    tiles = whole + (rest > 0)
    frame = RawFrame(func, form.outer * tiles, machine)
    outer, tile = tirx.floordiv(frame.trip, const(tiles)), tirx.floormod(frame.trip, const(tiles))
    body = _tile(frame, form, outer, tile * const(rows), rows, lanes)
    if rest:
        last = _tile(frame, form, outer, const(whole * rows), rest, lanes)
        body = tirx.IfThenElse(tirx.LT(tile, const(whole)), body, last)
    return frame.made([body], "filter", f"{rows}x{lanes}")


def _tile(frame: RawFrame, form: Filter, outer: Expr, first: Expr, rows: int, lanes: int) -> Any:
    """Some outputs along the axis, over the whole run behind it; the last vector may overlap the one before."""
    source = (outer * const(form.given) + first * const(form.stride)) * const(form.inner)
    target = (outer * const(form.made) + first) * const(form.inner)
    trips = form.inner // lanes
    var = frame.axis("i", trips)
    statements = [loop(var, trips, _vector(frame, form, source, target, var * const(lanes), rows, lanes))]
    if form.inner % lanes:
        statements.append(_vector(frame, form, source, target, const(form.inner - lanes), rows, lanes))
    return sequence(statements)


def _place(lane: int, grain: int, lanes: int) -> int:
    """Which number of two registers, one behind the other, is stored as this one."""
    run, within = divmod(lane, 2 * grain)
    band, number = divmod(within, grain)
    return run * grain + number + band * lanes


def _vector(
    frame: RawFrame, form: Filter, source: Expr, target: Expr, at: Expr, rows: int, lanes: int
) -> Any:
    block = Block()
    sums: dict[tuple[int, int], Expr] = {}
    length = len(form.taps[0])
    for place in range(form.stride * (rows - 1) + length):
        value = block.bound(frame.read(0, source + const(place * form.inner) + at, lanes))
        for row in range(rows):
            tap = place - form.stride * row
            for band, taps in enumerate(form.taps):
                if 0 <= tap < length and taps[tap]:
                    term = value * all_of(taps[tap], lanes)
                    known = sums.get((row, band))
                    sums[row, band] = block.bound(term if known is None else known + term)
    zero = all_of(0.0, lanes)
    order = [const(_place(lane, form.grain, lanes)) for lane in range(2 * lanes)]
    for row in range(rows):
        both = [sums.get((row, band), zero) for band in range(2)]
        where = (target + const(row * form.inner) + at) * const(2)
        block.add(frame.write(frame.result, where, tirx.Shuffle(both, order)))
    return sequence(block.statements)
