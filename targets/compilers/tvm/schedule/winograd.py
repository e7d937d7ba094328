"""Winograd's two transforms in fp32: one vector of channels of one tile after another, in registers.

Columns are transformed first, then the rows of what came out. Tiles that reach over the border of the image
have code of their own, which takes zeros from outside, and leaves out outputs that are not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, loads, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.constant_matrix import Vectors
from edgepress.targets.compilers.tvm.stages import WINOGRAD, Nest
from edgepress.targets.compilers.tvm.winograd import TAPS, transforms

_Ranges = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class _Plan:
    """A transform: what it reads, outputs along a tile, tiles down and across, an image's leading pads."""

    nest: Nest
    frame: Frame
    source: Any
    m: int
    counts: tuple[int, int]
    pads: tuple[int, ...]
    lanes: int

    @property
    def size(self) -> int:
        return self.m + TAPS - 1

    @property
    def axes(self) -> list[Any]:
        assert self.nest.anchor is not None
        return [axis.var for axis in self.nest.anchor.spatial]


@dataclass(frozen=True)
class _Place:
    """A tile: its number, its image, its row and column among tiles, and the first channel."""

    tile: Expr
    image: Expr
    row: Expr
    column: Expr
    channel: Expr


_Make = Callable[[_Plan, _Place, bool], list[Any]]  # the last: whether the tile may reach over the border


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """A transform's code, or None where the nest is none."""
    anchor = nest.anchor
    if anchor is None or WINOGRAD not in anchor.notes or machine.lanes == 1:
        return None
    read = (load.source for load in loads(anchor.value) if not load.source.same_as(anchor.buffer))
    source = next(buffer for buffer in read if len(shape_of(buffer)) > 2)
    m, down, across, *pads = (int(number) for number in anchor.notes[WINOGRAD])
    lanes = machine.lanes
    while lanes > anchor.spatial[-1].extent:
        lanes //= 2
    plan = _Plan(nest, frame, source, m, (down, across), tuple(pads), lanes)
    if pads:
        return _tiles(plan, anchor.spatial[1].extent, _insides(plan), _image)
    high, wide = (axis.extent // m for axis in anchor.spatial[1:3])
    return _tiles(plan, anchor.spatial[0].extent * down * across, ((0, high), (0, wide)), _output)


def _insides(plan: _Plan) -> _Ranges:
    """The tiles, down and across, whose every input lies inside the image."""
    ranges = []
    for extent, pad, count in zip(shape_of(plan.source)[1:3], plan.pads, plan.counts, strict=True):
        inside = [t for t in range(count) if 0 <= t * plan.m - pad <= extent - plan.size]
        ranges.append((inside[0], inside[-1] + 1) if inside else (0, 0))
    return ranges[0], ranges[1]


def _tiles(plan: _Plan, tiles: int, inside: _Ranges, make_tile: _Make) -> Body:
    """The divided loop over tiles, and in it the loop over vectors of channels."""
    frame, (down, across) = plan.frame, plan.counts
    assert plan.nest.anchor is not None
    channels = plan.nest.anchor.spatial[-1].extent
    part = frame.axis("t", tiles)
    image = frame.simplify(tirx.floordiv(part, const(down * across)))
    row = frame.simplify(tirx.floormod(tirx.floordiv(part, const(across)), const(down)))
    column = frame.simplify(tirx.floormod(part, const(across)))

    def every_vector(border: bool) -> Any:
        vectors = -(-channels // plan.lanes)
        block, first = frame.axis("v", vectors), frame.axis("c", channels - plan.lanes + 1)
        # The last vector overlaps the one before it, so that no narrower one is needed.
        held = frame.simplify(tirx.min(block * const(plan.lanes), const(channels - plan.lanes)))
        place = _Place(part, image, row, column, first)
        return loop(block, vectors, sequence([tirx.Bind(first, held), *make_tile(plan, place, border)]))

    if inside == ((0, down), (0, across)):
        return Body(frame.part_loop(part, every_vector(False)), tiles)
    body = every_vector(True)
    if all(low < high for low, high in inside):
        body = tirx.IfThenElse(_within([row, column], inside), every_vector(False), body)
    return Body(frame.part_loop(part, body), tiles)


def _within(places: list[Expr], ranges: tuple[tuple[int, int], ...]) -> Expr:
    bounds = zip(places, ranges, strict=True)
    return tirx.all(*(test for at, (low, high) in bounds for test in (at >= const(low), at < const(high))))


def _image(plan: _Plan, place: _Place, border: bool) -> list[Any]:
    """``Bᵀ x B``."""
    frame, size, extents = plan.frame, plan.size, shape_of(plan.source)[1:3]
    statements: list[Any] = []
    vectors = Vectors(plan.lanes, statements)

    def read(i: int, j: int) -> Expr:
        row = frame.simplify(place.row * const(plan.m) + const(i - plan.pads[0]))
        column = frame.simplify(place.column * const(plan.m) + const(j - plan.pads[1]))
        at = frame.offset(plan.source, [place.image, row, column, place.channel])
        value = frame.vector(plan.source, at, plan.lanes)
        if border:
            inside = _within([row, column], ((0, extents[0]), (0, extents[1])))
            value = tirx.if_then_else(inside, value, vectors.fill(0.0))
        return vectors.name(value)

    matrix = transforms(plan.m).image
    half = [vectors.product(matrix, [read(i, j) for i in range(size)]) for j in range(size)]
    p, t, c = plan.axes
    for i in range(size):
        for j, value in enumerate(vectors.product(matrix, [column[i] for column in half])):
            where = {p: const(i * size + j), t: place.tile, c: place.channel}
            statements.append(frame.put_vector(where, value))
    return statements


def _output(plan: _Plan, place: _Place, border: bool) -> list[Any]:
    """``Aᵀ x A``, and what is fused behind it."""
    frame, size, lanes = plan.frame, plan.size, plan.lanes
    statements: list[Any] = []
    vectors = Vectors(lanes, statements)

    def read(a: int, b: int) -> Expr:
        at = frame.offset(plan.source, [const(a * size + b), place.tile, place.channel])
        return vectors.name(frame.vector(plan.source, at, lanes))

    matrix = transforms(plan.m).inverse
    half = [vectors.product(matrix, [read(a, b) for a in range(size)]) for b in range(size)]
    assert plan.nest.anchor is not None
    extents = [axis.extent for axis in plan.nest.anchor.spatial[1:3]]
    n, h, w, c = plan.axes
    for i in range(plan.m):
        for j, value in enumerate(vectors.product(matrix, [column[i] for column in half])):
            row = frame.simplify(place.row * const(plan.m) + const(i))
            column = frame.simplify(place.column * const(plan.m) + const(j))
            held = local(f"y{i}_{j}", lanes, "float32")
            lane = frame.axis("v", lanes)
            where = {n: place.image, h: row, w: column, c: place.channel + lane}
            result = frame.value(plan.nest.stage.value, where, tirx.BufferLoad(held, [lane]))
            store = loop(lane, lanes, frame.put(where, result), tirx.ForKind.VECTORIZED)
            if border:
                inside = _within([row, column], ((0, extents[0]), (0, extents[1])))
                store = tirx.IfThenElse(inside, store, None)
            every = tirx.Ramp(const(0), const(1), lanes)
            statements += [tirx.AllocBuffer(held), tirx.BufferStore(held, value, [every]), store]
    return statements
