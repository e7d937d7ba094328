"""Quantised depthwise convolution for AVX-512: four products at a time, over the unpadded input.

A small step slides along a row: what it has interleaved of each row of the window stays in registers for the
next step, and few sums are alive at once, so that one step's rounding overlaps the next one's products.
Padding is worth zero: rows of the window outside the image meet a row of zero weights, columns outside are
zeros, in steps of their own.
"""

from __future__ import annotations

from typing import Any

from tvm import ir, tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const, shape_of
from edgepress.targets.compilers.tvm.kernel import Body, Frame, local, loop, sequence, split_flat
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.schedule.depthwise import Dimension, rows_inside
from edgepress.targets.compilers.tvm.schedule.depthwise_dot import QUARTERS, quarters
from edgepress.targets.compilers.tvm.schedule.depthwise_step import (
    Block,
    Plan,
    Reader,
    add_row,
    advance,
    begun,
    carried_by,
    pairs_of,
    stored,
)
from edgepress.targets.compilers.tvm.schedule.dot import DOTS
from edgepress.targets.compilers.tvm.schedule.operands8 import without_offset
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.requantise import read_requantise
from edgepress.targets.compilers.tvm.stages import DEPTHWISE, DOT, WINDOW, Axis, Nest

_MOST_KEPT = 3  # pairs of pixels, two registers each, that stay from one step to the next
_TILE = 4  # outputs of a tile, where more pairs would have to stay


def make(nest: Nest, frame: Frame, machine: Machine) -> Body | None:
    """The kernel, or None where the nest is no depthwise convolution with weights packed for it."""
    anchor, end = nest.anchor, read_requantise(nest, machine)
    if anchor is None or nest.kind != DEPTHWISE or WINDOW not in anchor.notes or end is None:
        return None
    dot = DOTS[anchor.notes[DOT]]
    plain, offset = without_offset(anchor)
    product = plain.value.b if isinstance(plain.value.b, tirx.Mul) else plain.value.a
    image, weight = product.a.value, product.b.value
    if isinstance(image, ir.Call):  # if_then_else(inside, pixel, zero point)
        image = image.args[1]
    settings, count = [int(number) for number in anchor.notes[WINDOW]], len(anchor.reduction)
    shape = shape_of(image.source)
    dims = tuple(
        Dimension(out, taps, shape[1 + d], settings[d], settings[count + d], settings[2 * count + d])
        for d, (out, taps) in enumerate(zip(anchor.spatial[1:-1], anchor.reduction, strict=True))
    )
    block = QUARTERS * machine.lanes
    plan = Plan(frame, dot, bool(offset), end, image, weight, dims, anchor.spatial[-1], block)
    return _loops(plan, anchor.spatial[:-2])


def _loops(plan: Plan, outer: tuple[Axis, ...]) -> Body:
    """The divided loop over rows of outputs, and blocks of channels inside."""
    frame, channels = plan.frame, plan.channels
    total = 1
    for axis in outer:
        total *= axis.extent
    part = frame.axis("y", total)
    places = map(frame.simplify, split_flat(part, [axis.extent for axis in outer]))
    base = dict(zip((axis.var for axis in outer), places, strict=True))
    base |= {dim.taps.var: const(0) for dim in plan.dims} | {plan.across.out.var: const(0)}
    full, left = divmod(channels.extent, plan.block)
    statements = []
    if full:
        block: Expr = frame.axis("c", full) if full > 1 else const(0)
        body = _along(plan, base, block, plan.block)
        statements.append(loop(block, full, body) if full > 1 else body)
    if left:
        statements.append(_along(plan, base, const(full), left))
    return Body(frame.part_loop(part, sequence(statements)), total)


def _along(plan: Plan, base: dict[Any, Expr], number: Expr, width: int) -> Any:
    """One row of outputs of one block of channels."""
    frame, parts = plan.frame, _parts(plan, width)
    lanes = len(parts) * quarters(width)
    statements: list[Any] = []
    ends: list[list[Expr]] = []
    for load, kind in ((plan.end.bias, "int32"), (plan.end.scale, "float32")):
        ends.append([])
        for v in range(QUARTERS):
            at = frame.simplify(number * const(plan.block) + const(v * plan.block // QUARTERS))
            var = tirx.Var("e", f"{kind}x{lanes}")
            statements.append(tirx.Bind(var, frame.vector(load.source, at, lanes)))
            ends[-1].append(var)
    there = {**base, plan.channels.var: frame.simplify(number * const(plan.block))}
    block = Block(there, width, lanes, parts, ends[0], ends[1])
    kept = plan.rows * len(carried_by(plan, _outputs(plan)))
    statements += _slid(plan, block) if kept <= _MOST_KEPT else _tiles(plan, block)
    return sequence(statements)


def _outputs(plan: Plan) -> int:
    """The outputs of a step, so that each step begins at an even pixel."""
    return 1 if plan.across.stride % 2 == 0 else 2


def _parts(plan: Plan, width: int) -> tuple[int, ...]:
    """Where the parts of a row begin that fill the registers of a block of so many channels together."""
    extent, count = plan.across.out.extent, plan.block // QUARTERS // quarters(width)
    while count > extent:
        count //= 2
    return tuple(min(part * _part(extent, count), extent - _part(extent, count)) for part in range(count))


def _part(extent: int, count: int) -> int:
    """The outputs of each of so many parts."""
    return -(-extent // count)


def _groups(plan: Plan, block: Block, count: int, fresh: list[int]) -> list[tuple[int, int, int]]:
    """Steps of ``count`` outputs: (first output, outputs, steps alike); alike where all pixels are inside.

    ``fresh`` are the pixels that a step reads, from the first pixel of its first output on.
    """
    across, width = plan.across, _part(plan.across.out.extent, len(block.parts))
    groups: list[tuple[int, int, int, bool]] = []
    for begin in range(0, width, count):
        size = min(count, width - begin)
        lefts = [(begin + part) * across.stride - across.pad for part in block.parts]
        whole = size == count and all(0 <= left + pixel < across.extent for left in lefts for pixel in fresh)
        if groups and whole and groups[-1][3]:
            groups[-1] = (*groups[-1][:2], groups[-1][2] + 1, True)
        else:
            groups.append((begin, size, 1, whole))
    return [group[:3] for group in groups]


def _slid(plan: Plan, block: Block) -> list[Any]:
    """Steps along the row; the pairs that the next step needs stay in registers."""
    frame, across, rows = plan.frame, plan.across, plan.rows
    count = _outputs(plan)
    carried = carried_by(plan, count)
    fresh = [pair + more for pair in pairs_of(plan, count) if pair not in carried for more in (0, 1)]
    statements: list[Any] = []
    images: list[Expr] = []
    weights: list[Expr] = []
    for k in range(rows):
        image, weight = _row_starts(plan, block, k)
        for value, into in ((image, images), (weight, weights)):
            var = tirx.Var("o", "int32")
            statements.append(tirx.Bind(var, value))
            into.append(var)
    words = 2 * block.lanes
    buffers = [
        [[local(f"c{k}_{i}_{h}", words, "int16") for h in (0, 1)] for i in carried] for k in range(rows)
    ]
    for row, start in zip(buffers, images, strict=True):
        reader = Reader(plan, block, start, -across.pad, None, statements)
        for pair, halves in zip(carried, row, strict=True):
            for half, value in zip(halves, reader.pair(pair), strict=True):
                statements += [tirx.AllocBuffer(half), put(half, value)]

    def step(first: Expr, size: int, left: int | None, apart: Expr) -> list[Any]:
        sums, done = begun(block, size)
        for k in range(rows):
            start = frame.simplify(images[k] + first * const(across.stride * shape_of(plan.image.source)[-1]))
            reader = Reader(plan, block, start, left, None, done)
            for pair, halves in zip(carried, buffers[k], strict=True):
                reader.held[pair] = (reader.bound(get(halves[0])), reader.bound(get(halves[1])))
            add_row(plan, block, reader, weights[k] + apart, sums)
            for pair, halves in zip(carried, buffers[k], strict=True):
                for half, value in zip(halves, reader.pair(pair + advance(plan, count)), strict=True):
                    done.append(put(half, value))
        return done + stored(plan, block, first, sums)

    for begin, size, same in _groups(plan, block, count, fresh):
        if same == 1:
            statements += step(const(begin), size, begin * across.stride - across.pad, const(0))
            continue
        var = frame.axis("x", same)
        # Always zero, but the code generator cannot see it: else it would copy all weights to the stack.
        apart = tirx.min(frame.begin, const(0)) * var
        first = frame.simplify(var * const(count) + const(begin))
        statements.append(loop(var, same, sequence(step(first, size, None, apart))))
    return statements


def _row_starts(plan: Plan, block: Block, k: int) -> tuple[Expr, Expr]:
    """Where a row of the window begins in the image and its weights in theirs."""
    frame, base = plan.frame, block.base
    if len(plan.dims) == 1:
        return frame.load_offset(plan.image, base), frame.load_offset(plan.weight, base)
    down = plan.dims[0]
    top = base[down.out.var] * const(down.stride) - const(down.pad)
    y = frame.simplify(top + const(k * down.dilation))
    # A row outside the image is read from inside it, and meets the row of zeros behind the weights.
    held = tirx.max(tirx.min(y, const(down.extent - 1)), const(0))
    shape = shape_of(plan.image.source)
    first = frame.load_offset(plan.image, base) + (held - top) * const(shape[-2] * shape[-1])
    row = tirx.Select(tirx.EQ(held, y), const(k), const(down.taps.extent))
    per_row = 1
    for extent in shape_of(plan.weight.source)[2:]:
        per_row *= extent
    return frame.simplify(first), frame.load_offset(plan.weight, base) + row * const(per_row)


def _tiles(plan: Plan, block: Block) -> list[Any]:
    """Tiles of four outputs, one row of the window after another: long windows would fill all registers."""
    frame, across, count = plan.frame, plan.across, _TILE
    statements: list[Any] = []
    read = list(range((count - 1) * across.stride + across.taps.extent))
    for begin, size, same in _groups(plan, block, count, read):
        var: Expr = frame.axis("x", same) if same > 1 else const(0)
        first = frame.simplify(var * const(count) + const(begin))
        left = None if same > 1 else begin * across.stride - across.pad
        body = _tile(plan, block, first, size, left)
        statements += [loop(var, same, sequence(body))] if same > 1 else body
    return statements


def _tile(plan: Plan, block: Block, first: Expr, size: int, left: int | None) -> list[Any]:
    frame = plan.frame
    sums, statements = begun(block, size)
    at = {**block.base, plan.across.out.var: first}
    if len(plan.dims) == 2:
        down = plan.dims[0]
        var = frame.axis("k", down.taps.extent)
        at[down.taps.var] = var
    done: list[Any] = []
    needed = (size - 1) * plan.across.stride + plan.across.taps.extent
    reader = Reader(plan, block, frame.load_offset(plan.image, at), left, needed, done)
    add_row(plan, block, reader, frame.load_offset(plan.weight, at), sums)
    if len(plan.dims) == 2:
        low, trips = rows_inside(down, at[down.out.var])
        done = [
            tirx.For(var, frame.simplify(low), frame.simplify(trips), tirx.ForKind.SERIAL, sequence(done))
        ]
    return statements + done + stored(plan, block, first, sums)
