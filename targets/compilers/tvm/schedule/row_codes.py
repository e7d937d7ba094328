"""Rows made eight-bit codes by a scale of their own: read once for the largest magnitude, once to be stored."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from edgepress.targets.compilers.tvm.dynamic_form import row_codes_of
from edgepress.targets.compilers.tvm.expressions import Expr, const
from edgepress.targets.compilers.tvm.kernel import local, loop, sequence
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.mathematics import ROUNDING, ROUNDING_BITS
from edgepress.targets.compilers.tvm.schedule.dot import flipped, intrinsic
from edgepress.targets.compilers.tvm.schedule.raw import Made, RawFrame
from edgepress.targets.compilers.tvm.schedule.registers import get, pieces, put
from edgepress.targets.compilers.tvm.schedule.requantise import nearest, saturated
from edgepress.targets.compilers.tvm.schedule.vectors import Block, all_of, joined, spread

_CODES, _SCALE, _SUM = 1, 2, 3  # the kernel's buffers after the rows themselves
_SETS = 4  # partial results beside one another: they hide their latencies


def row_codes_kernel(func: Any, text: str, machine: Machine) -> Made:
    """The kernel that a PrimFunc stands for; each part runs some of the rows.

    Args:
        func: takes the rows; gives their codes, scales and sums of codes.
        text: the form, as :meth:`RowCodes.text` wrote it.
        machine: the target.
    """
    form = row_codes_of(text)
    frame, block, lanes = RawFrame(func, form.rows, machine), Block(), machine.lanes
    start = frame.trip * const(form.width)

    def largest(at: Expr, count: int, acc: Any) -> list[Any]:
        value = frame.read(0, start + at, count)
        size = _magnitude(value, machine.c_source)
        return [put(acc, tirx.max(get(acc), size))] if acc is not None else [size]

    most = _folded(frame, block, form.width, "float32", largest, tirx.max)
    least = frame.number("least", form.least)
    levels = frame.number("levels", form.levels)
    held = block.bound(tirx.max(most, least))
    one = tirx.const(1.0, "float32")
    scale = block.bound((one / held) * levels if form.reciprocal else levels / held)
    block.add(frame.write(_SCALE, frame.trip, scale))

    def store(at: Expr, codes: Expr) -> Any:
        """The statement that stores neighbouring codes of the row, which lie together."""
        block_of = const(form.rows * form.together)
        where = tirx.floordiv(at, const(form.together)) * block_of + frame.trip * const(form.together)
        return frame.write(_CODES, where + tirx.floormod(at, const(form.together)), codes)

    def coded(at: Expr, count: int, acc: Any) -> list[Any]:
        inner = Block()
        steps = frame.read(0, start + at, count) * spread(scale, count)
        # Held between whole numbers first: rounding after is the same, and nothing is fused with the product.
        inside = tirx.max(tirx.min(steps, all_of(127.0, count)), all_of(-128.0, count))
        kind = f"int32x{count}" if count > 1 else "int32"
        bits = tirx.reinterpret(kind, inside + all_of(ROUNDING, count))
        whole = inner.bound(bits - spread(const(ROUNDING_BITS), count))
        stored = whole + spread(const(form.offset), count) if form.offset else whole
        kind = "uint8" if form.offset else "int8"
        narrow = tirx.Cast(f"{kind}x{count}" if count > 1 else kind, stored)
        inner.add(store(at, narrow))
        inner.statements += [put(acc, get(acc) + whole)] if acc is not None else [whole]
        return inner.statements

    def coded_wide(at: Expr, count: int, acc: Any) -> list[Any]:
        """Sixteen at once by instructions that round and saturate."""
        if acc is None:
            return coded(at, count, acc)
        inner, many = Block(), spread(scale, lanes)
        quarters = [frame.read(0, start + at + const(i), lanes) * many for i in range(0, count, lanes)]
        codes = inner.bound(saturated([nearest(each) for each in quarters]))
        pairs = intrinsic("int16x8", "llvm.aarch64.neon.saddlp.v8i16.v16i8", codes)
        inner.add(put(acc, get(acc) + intrinsic("int32x4", "llvm.aarch64.neon.saddlp.v4i32.v8i16", pairs)))
        if form.offset:
            codes = tirx.reinterpret(f"uint8x{count}", flipped(codes, True))
        inner.add(store(at, codes))
        return inner.statements

    how, step = (coded_wide, 4 * lanes) if machine.by_element else (coded, lanes)
    total = _folded(frame, block, form.width, "int32", how, lambda a, b: a + b, step)
    block.add(frame.write(_SUM, frame.trip, total))
    at = form.width
    for first, count in pieces(form.padded - form.width, 4 * lanes if lanes > 1 else 1):
        zero = tirx.const(0, "uint8" if form.offset else "int8")
        block.add(store(const(at + first), spread(zero, count)))
    return frame.made(block.statements, "row_codes")


def _magnitude(value: Expr, c_source: bool) -> Expr:
    lanes = int(value.ty.dtype.lanes)
    if c_source:
        return tirx.max(value, all_of(0.0, lanes) - value)
    return intrinsic(str(value.ty.dtype), f"llvm.fabs.v{lanes}f32" if lanes > 1 else "llvm.fabs.f32", value)


def _folded(
    frame: RawFrame, block: Block, width: int, dtype: str, each: Any, join: Any, step: int = 0
) -> Expr:
    """One number of a whole row: registers in order into several partial results, these and lanes by halves.

    ``each(at, count, acc)`` gives statements for ``step`` numbers, which are a register's if not told; the last
    is the value itself where there is no ``acc``.
    """
    lanes = frame.lanes
    step = step or lanes
    whole = width // step
    sets = max(1, min(_SETS, whole))
    zero = tirx.const(0, dtype)
    accs = [local("a", lanes, dtype) for _ in range(sets)]
    for acc in accs:
        block.add(tirx.AllocBuffer(acc))
        block.add(put(acc, spread(zero, lanes)))
    trips = whole // sets
    if trips:
        var = frame.axis("k", trips)
        base = var * const(step * sets)
        body = [s for i, acc in enumerate(accs) for s in each(base + const(i * step), step, acc)]
        block.add(loop(var, trips, sequence(body)))
    for i in range(trips * sets, whole):
        block.statements += each(const(i * step), step, accs[i % sets])
    values = [block.bound(get(acc)) for acc in accs]
    while len(values) > 1:
        values = [block.bound(join(*pair)) if len(pair) > 1 else pair[0]
                  for pair in (values[i : i + 2] for i in range(0, len(values), 2))]  # fmt: skip
    total = joined(values[0], join, block.bound)
    if lanes == 1:
        return total
    for first, count in pieces(width - whole * step, lanes):
        *statements, value = each(const(whole * step + first), count, None)
        block.statements += statements
        total = block.bound(join(total, joined(block.bound(value), join, block.bound)))
    return total
