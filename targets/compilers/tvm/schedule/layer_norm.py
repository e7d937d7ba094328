"""Layer normalisation of rows: read once for their sums and once to be stored, quantised or not.

The variance is the mean square less the square of the mean, as ONNX Runtime has it."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import tirx

from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.norms import GELU_TANH, layer_norm_of
from edgepress.targets.compilers.tvm.schedule.attention_rows import chunks
from edgepress.targets.compilers.tvm.schedule.division import divided
from edgepress.targets.compilers.tvm.schedule.raw import Made, RawFrame
from edgepress.targets.compilers.tvm.schedule.registers import get, put
from edgepress.targets.compilers.tvm.schedule.steps import Steps
from edgepress.targets.compilers.tvm.schedule.vectors import Block, all_of, joined, padded, spread

_ROWS = 4  # rows, or sums of one row, that are worked out beside one another: they hide their latencies


def layer_norm_kernel(func: Any, text: str, machine: Machine) -> Made:
    """The kernel of a layer normalisation that a PrimFunc stands for; each part runs some of the rows.

    Args:
        func: takes rows, scale, bias and the result.
        text: the form, as :meth:`LayerNorm.text` wrote it.
        machine: one with vector registers.
    """
    form = layer_norm_of(text)
    together = next(
        count
        for count in (_ROWS, 2, 1)
        if form.rows % count == 0 and (form.groups == 1 or form.groups % count == 0)
    )
    frame, block = RawFrame(func, form.rows // together, machine), Block()
    grid = Steps(frame, "y", form.grid) if form.grid is not None else None
    lanes = machine.lanes
    starts = [(frame.trip * const(together) + const(r)) * const(form.width) for r in range(together)]
    width = tirx.const(float(form.width), "float32")

    means: list[Expr] = []
    roots: list[Expr] = []
    shares: list[Expr] = []
    for total, squares in _sums(frame, block, form.width, starts):
        mean = block.bound(total / width)
        variance = tirx.max(squares / width - mean * mean, tirx.const(0.0, "float32"))
        root = block.bound(tirx.sqrt(variance + tirx.const(form.epsilon, "float32")))
        share = block.bound(tirx.const(1.0, "float32") / root)
        for values, value in ((means, mean), (roots, root), (shares, share)):
            values.append(block.bound(spread(value, lanes)))

    group = block.bound(tirx.floormod(frame.trip * const(together), const(form.groups)) * const(form.width))

    def stored(at: Expr, count: int) -> Any:
        inner = Block()

        def terms(row: int) -> tuple[Expr, Expr]:
            place = at if form.groups == 1 else group + const(row * form.width) + at
            scale, bias = (inner.bound(_read(frame, number, place, count)) for number in (1, 2))
            return scale, bias

        common = terms(0) if form.groups == 1 else None
        for row, (start, mean, root, share) in enumerate(zip(starts, means, roots, shares, strict=True)):
            scale, bias = common or terms(row)
            away = _read(frame, 0, start + at, count) - mean
            value = (divided(away, root, share) if frame.fused else away / root) * scale + bias
            if form.activation == GELU_TANH:
                value = gelu_tanh(inner.bound(value))
            if grid is not None:
                value = grid.as_bytes(grid.whole(grid.quotient(value)))
            inner.statements += frame.write_some(frame.result, start + at, value, count)
        return sequence(inner.statements)

    trips = form.width // lanes
    var = frame.axis("k", trips)
    block.add(loop(var, trips, stored(var * const(lanes), lanes)))
    for at, count in chunks(form.width, lanes)[trips:]:
        block.add(stored(const(at), count))
    return frame.made(block.statements, "layer_norm")


def gelu_tanh(x: Expr) -> Expr:
    """``x / (1 + exp(−2u))`` with ``u = √(2/π)·(x + 0.044715·x³)``, which is ``x·(1 + tanh u) / 2``."""
    lanes = int(x.ty.dtype.lanes)
    root = float(np.sqrt(8 / np.pi))
    power = all_of(-root, lanes) * x - all_of(0.044715 * root, lanes) * (x * x * x)
    return x / (all_of(1.0, lanes) + tirx.exp(power))


def _sums(frame: RawFrame, block: Block, width: int, starts: list[Expr]) -> list[tuple[Expr, Expr]]:
    """Each row's sum and that of its squares: by registers in order, then their lanes by halves."""
    lanes, sets = frame.lanes, _ROWS // len(starts)
    sums = [
        [[local(f"s{r}", lanes, "float32") for _ in range(sets)] for _ in range(2)]
        for r in range(len(starts))
    ]
    for acc in (acc for row in sums for accs in row for acc in accs):
        block.add(tirx.AllocBuffer(acc))
        block.add(put(acc, all_of(0.0, lanes)))

    def add(at: Expr, count: int, i: int) -> list[Any]:
        inner = Block()
        for start, (total, squares) in zip(starts, sums, strict=True):
            value = inner.bound(_read(frame, 0, start + at, count))
            inner.add(put(total[i], get(total[i]) + value))
            inner.add(put(squares[i], get(squares[i]) + value * value))
        return inner.statements

    trips = width // (lanes * sets)
    if trips:
        var = frame.axis("k", trips)
        each = [add(var * const(lanes * sets) + const(i * lanes), lanes, i) for i in range(sets)]
        block.add(loop(var, trips, sequence([statement for some in each for statement in some])))
    for at, count in chunks(width, lanes)[trips * sets :]:
        block.statements += add(const(at), count, at // lanes % sets)

    def one(accs: list[Any]) -> Expr:
        values = [get(acc) for acc in accs]
        while len(values) > 1:
            values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
        return joined(block.bound(values[0]), lambda a, b: a + b, block.bound)

    return [(one(total), one(squares)) for total, squares in sums]


def _read(frame: RawFrame, number: int, at: Expr, count: int) -> Expr:
    """``count`` numbers of a buffer in a register, zeros after them."""
    return padded(lambda i, n: frame.read(number, at + const(i), n), count, frame.lanes)
