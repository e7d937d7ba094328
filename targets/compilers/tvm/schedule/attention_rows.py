"""Attention of few queries: keys and values are read once, as they lie, a register of scores at a time.

A quantised attention is worked out in whole numbers that fp32 holds exactly, so it is the integer result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.attention_form import Attention, Operand
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop
from edgepress.targets.compilers.tvm.schedule.attention_frame import AttentionFrame
from edgepress.targets.compilers.tvm.schedule.raw import Scratch
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.softmax_row import exponentials
from edgepress.targets.compilers.tvm.schedule.vectors import Block, all_of, spread, sums_of

_SUMS = 8  # registers of sums that hide a multiply-add's latency


def by_rows(frame: AttentionFrame) -> list[Any]:
    """The statements of one head."""
    form, lanes = frame.form, frame.lanes
    scores = frame.scratch(form.keys + 2 * lanes, "float32")
    query = frame.axis("q", form.queries)
    block = Block()
    places = chunks(form.depth, lanes)
    q_grid = frame.grids[0] if form.grids else None
    q = [block.bound(frame.numbers(form.q, query, const(first), count, q_grid)) for first, count in places]
    first = 0
    for part in form.k:
        block.statements += _scores(frame, part, first, q, scores)
        first += part.rows
    statements, share = exponentials(frame, form, scores, const(0))
    block.statements += statements
    block.statements += weighted(frame, scores, query, share())
    return [loop(query, form.queries, tirx.SeqStmt(block.statements))]


def chunks(extent: int, lanes: int) -> list[tuple[int, int]]:
    """Registers that cover a row: (first place, numbers in it)."""
    return [(at, min(lanes, extent - at)) for at in range(0, extent, lanes)]


def score_scale(form: Attention) -> float:
    """What an integer sum of a quantised attention is multiplied by to be in steps of the scores."""
    q, k, score = (np.float32(grid.scale) for grid in form.grids[:3])
    return float(q * k / score)


def result_scale(form: Attention) -> float:
    """What an integer sum of weights and values is multiplied by to be in steps of the result."""
    weight, v, out = (np.float32(form.grids[i].scale) for i in (3, 4, 5))
    return float(weight * v / out)


def in_score_steps(frame: AttentionFrame, sums: Expr) -> Expr:
    """Whole fp32 sums as the scores' own steps; plain sums as they are."""
    if not frame.grids:
        return sums
    lanes = int(sums.ty.dtype.lanes)
    scale = frame.number("score", score_scale(frame.form))
    return frame.grids[2].rounded(sums * spread(scale, lanes))


def _scores(frame: AttentionFrame, part: Operand, first: int, q: list[Expr], scores: Scratch) -> list[Any]:
    """Scores of one part of the keys, as many keys at a time as a register has lanes."""
    form, lanes = frame.form, frame.lanes
    grid = frame.grids[1] if form.grids else None

    def group(base: Expr, count: int) -> Any:
        inner = Block()
        sums: list[Expr] = []
        for lane in range(lanes):
            if lane >= count:  # any number: the next part's scores are written over it
                sums.append(sums[-1])
                continue
            total: Expr = None
            for number, (place, size) in zip(q, chunks(form.depth, lanes), strict=True):
                key = frame.numbers(part, base + const(lane), const(place), size, grid)
                total = number * key if total is None else total + number * key
            sums.append(inner.bound(total))
        value = in_score_steps(frame, sums_of(sums, inner.bound))
        inner.add(scores.write(const(first) + base, value))
        return tirx.SeqStmt(inner.statements)

    whole, tail = divmod(part.rows, lanes)
    done = []
    if whole:
        var = frame.axis("g", whole)
        done.append(loop(var, whole, group(var * const(lanes), lanes)))
    if tail:
        done.append(group(const(whole * lanes), tail))
    return done


def weighted(frame: AttentionFrame, powers: Scratch, query: Expr, share: Expr) -> list[Any]:
    """The values weighted by the softmax, one row of the result; ``share`` is 1 / the powers' sum."""
    form, lanes = frame.form, frame.lanes
    block = Block()
    share = block.bound(share)
    grid = frame.grids[4] if form.grids else None
    if form.grids:
        block.statements += _steps_of(frame, powers, share)
    places = chunks(form.width, lanes)
    sets = max(1, _SUMS // len(places))
    sums = [[local(f"o{s}_{c}", lanes, "float32") for c in range(len(places))] for s in range(sets)]
    for each in sums:
        for acc in each:
            block.add(tirx.AllocBuffer(acc))
            block.add(put(acc, all_of(0.0, lanes)))
    first = 0
    for part in form.v:
        trips, tail = divmod(part.rows, sets)

        def together(base: Expr, count: int, part: Operand = part, first: int = first) -> Any:
            inner = Block()
            for s in range(count):
                weight = inner.bound(spread(powers.read(const(first + s) + base), lanes))
                for acc, (place, size) in zip(sums[s], places, strict=True):
                    value = frame.numbers(part, base + const(s), const(place), size, grid)
                    inner.add(put(acc, get(acc) + weight * value))
            return tirx.SeqStmt(inner.statements)

        if trips:
            var = frame.axis("j", trips)
            block.add(loop(var, trips, together(var * const(sets), sets)))
        if tail:
            block.add(together(const(trips * sets), tail))
        first += part.rows
    for c, (place, size) in enumerate(places):
        total = get(sums[0][c])
        for s in range(1, sets):
            total = total + get(sums[s][c])
        value = result_steps(frame, total) if form.grids else total * spread(share, lanes)
        block.statements += frame.store(query, const(place), size, value)
    return block.statements


def _steps_of(frame: AttentionFrame, powers: Scratch, share: Expr) -> list[Any]:
    """The softmax in its own steps, in place of the powers."""
    lanes = frame.lanes
    count = -(-frame.form.keys // lanes)
    var = frame.axis("k", count)
    at = var * const(lanes)
    steps = weight_steps(frame, powers.read(at, lanes), share)
    return [loop(var, count, powers.write(at, tirx.Cast(f"float32x{lanes}", steps)))]


def weight_steps(frame: AttentionFrame, power: Expr, share: Expr) -> Expr:
    """A register of powers as steps of the softmax from its zero point: int32."""
    grid = frame.grids[3]
    return grid.whole(grid.quotient(power * spread(share, frame.lanes)))


def result_steps(frame: AttentionFrame, sums: Expr) -> Expr:
    """Sums of weights and values in steps, as fp32, as steps of the result: int32."""
    scale = frame.number("result", result_scale(frame.form))
    return frame.grids[5].whole(sums * spread(scale, frame.lanes))
