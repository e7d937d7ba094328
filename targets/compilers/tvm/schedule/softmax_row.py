"""The softmax of one row of scores that lies in a temporary, in registers."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.attention_form import Attention
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop
from edgepress.targets.compilers.tvm.mathematics import exp_of_negative
from edgepress.targets.compilers.tvm.schedule.attention_frame import AttentionFrame
from edgepress.targets.compilers.tvm.schedule.raw import Scratch
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.vectors import Block, all_of, joined, spread

_LOWEST = -3.0e38


def exponentials(frame: AttentionFrame, form: Attention, scores: Scratch, row: Expr) -> tuple[list[Any], Any]:
    """Scores (or their steps) from ``row`` on become ``exp(x − max)``; statements, and 1 / their sum.

    The row is as long as the keys, rounded up to whole registers; what lies beyond the keys is written here.
    The sum is that of each lane in order, then of the lanes by halves.
    """
    lanes, block = frame.lanes, Block()
    whole = -(-form.keys // lanes)
    for at in range(form.keys, whole * lanes):
        block.add(scores.write(row + const(at), all_of(_LOWEST, 1)))
    most, total = local("most", lanes, "float32"), local("total", lanes, "float32")
    block.add(tirx.AllocBuffer(most))
    block.add(tirx.AllocBuffer(total))
    block.add(put(most, all_of(_LOWEST, lanes)))
    block.add(put(total, all_of(0.0, lanes)))

    def each(body: Any) -> None:
        var = frame.axis("k", whole)
        block.add(loop(var, whole, body(var * const(lanes))))

    each(lambda at: put(most, tirx.max(get(most), scores.read(row + at, lanes))))
    largest = block.bound(joined(get(most), tirx.max, block.bound))
    scaled = block.bound(spread(block.bound(_real(frame, largest)), lanes))

    def powers(at: Expr) -> Any:
        inner = Block()
        real = _real(frame, scores.read(row + at, lanes))
        value = inner.bound(exp_of_negative(real - scaled))
        inner.add(put(total, get(total) + value))
        inner.add(scores.write(row + at, value))
        return tirx.SeqStmt(inner.statements)

    each(powers)
    sum_of = block.bound(joined(get(total), lambda a, b: a + b, block.bound))
    return block.statements, (lambda: tirx.const(1.0, "float32") / sum_of)


def _real(frame: AttentionFrame, value: Expr) -> Expr:
    """Scores as the softmax takes them; beyond the keys they stay far below."""
    lanes, form = int(value.ty.dtype.lanes), frame.form
    factors = [np.float32(form.factor)] if form.factor != 1.0 else []
    if form.grids:
        factors.insert(0, np.float32(form.grids[2].scale))
    if len(factors) == 2 and np.frexp(factors[1])[0] == 0.5:  # two roundings are one
        factors = [factors[0] * factors[1]]
    for i, factor in enumerate(factors):
        value = value * spread(frame.number(f"factor{i}", float(factor)), lanes)
    return value
