"""Converters of dense layers of dynamic rows: codes of rows, products by ternary weights or by eight bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tvm import relax, te, tirx

from edgepress.targets.compilers.tvm import integer
from edgepress.targets.compilers.tvm.dynamic_form import DIGITS, ROW_CODES, TERNARY, TOGETHER, row_codes_of
from edgepress.targets.compilers.tvm.expressions import dtype_of
from edgepress.targets.compilers.tvm.kernel import split_flat
from edgepress.targets.compilers.tvm.packing2 import FIELDS, WORD_FIELD, WORD_WEIGHTS
from edgepress.targets.compilers.tvm.padding import OPAQUE, OUT_EWISE_FUSABLE
from edgepress.targets.compilers.tvm.stages import DOT, INPUTS, KERNEL


def _row_codes(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Only stands for a kernel that is written as a whole; :mod:`schedule.row_codes` makes it."""
    form = attrs["form"].decode() if isinstance(attrs["form"], bytes) else str(attrs["form"])
    # Codes, scales, sums of codes.
    kinds = ("uint8" if row_codes_of(form).offset else "int8", "float32", "int32")
    extents = [int(extent) for extent in attrs["shapes"]]
    each = len(extents) // len(kinds)

    def nothing(kind: str) -> Callable[..., Any]:
        return lambda *at: tirx.const(0, kind)

    def function(x: Any) -> Any:
        shapes = [extents[i * each : (i + 1) * each] for i in range(len(kinds))]
        return [
            te.compute(shape, nothing(kind), name="row_codes")
            for shape, kind in zip(shapes, kinds, strict=True)
        ]

    marks = {"op_pattern": OPAQUE, ROW_CODES: form}
    made = bb.emit_te(function, *inputs, primfunc_attrs=marks, primfunc_name_hint="row_codes")
    return relax.Tuple([bb.emit(relax.TupleGetItem(made, i)) for i in range(len(kinds))])


def _ternary(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """``(Σ codes · (weight + 1) − Σ codes) · (step / scale) + bias``."""
    names = ("channels", "terms", "digits", "together")
    channels, terms, digits, together = (int(attrs[name]) for name in names)

    def function(codes: Any, scale: Any, sums: Any, weight: Any, step: Any, bias: Any) -> Any:
        shape = [*(int(extent) for extent in codes.shape[:-1]), channels]
        k = te.reduce_axis((0, int(codes.shape[-1])), "k")

        def sum_of(*at: Any) -> Any:
            *row, n = at
            value = _of_word(weight, n, k) if len(weight.shape) == 2 else _of_byte(weight, n, k, digits)
            code = codes(*_place(shape[:-1], row, int(codes.shape[-1]), k, together))
            return te.sum(code.astype("int32") * value, axis=k)

        marks = {KERNEL: TERNARY, DIGITS: digits, TOGETHER: together, INPUTS: terms}
        total = te.compute(shape, sum_of, name="ternary", attrs=marks)

        return _scaled(total, lambda *at: sums(*at[:-1], 0), scale, step, bias)

    own = {"op_pattern": OUT_EWISE_FUSABLE}
    return bb.emit_te(function, *inputs, primfunc_attrs=own, primfunc_name_hint="ternary")


def _eight(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """``(Σ codes · weight − moved) · (step / scale) + bias``, where ``moved`` is what unsigned codes add."""
    dot = attrs["dot"].decode() if isinstance(attrs["dot"], bytes) else str(attrs["dot"])

    def function(codes: Any, scale: Any, weight: Any, moved: Any, step: Any, bias: Any) -> Any:
        notes = {DOT: dot, INPUTS: int(attrs["terms"])}
        total = integer.dense(codes, weight, int(attrs["channels"]), 0, notes)
        return _scaled(total, lambda *at: moved(at[-1]), scale, step, bias)

    own = {"op_pattern": OUT_EWISE_FUSABLE}
    return bb.emit_te(function, *inputs, primfunc_attrs=own, primfunc_name_hint="dynamic_dense")


def _scaled(total: Any, less: Callable[..., Any], scale: Any, step: Any, bias: Any) -> Any:
    """Whole sums, less something, as numbers; steps and biases are one, or one for each output."""

    def output(*at: Any) -> Any:
        *row, n = at
        factor = step(n if int(step.shape[0]) > 1 else 0) / scale(*row, 0)
        whole = (total(*at) - less(*at)).astype("float32")
        return whole * factor + bias(n if int(bias.shape[0]) > 1 else 0)

    return te.compute(total.shape, output, name="scaled")


def _place(extents: Sequence[int], row: Sequence[Any], padded: int, k: Any, together: int) -> list[Any]:
    """Where code ``k`` of a row lies, as the indices of a tensor of rows of ``padded`` codes."""
    if together == padded:
        return [*row, k]
    number: Any = 0
    for extent, index in zip(extents, row, strict=True):
        number = number * extent + index
    flat = k // together * (prod(extents) * together) + number * together + k % together
    return split_flat(flat, [*extents, padded])


def _of_word(weight: Any, n: Any, k: Any) -> Any:
    """Weight ``k`` of output ``n``, plus one, where words are packed."""
    kind = str(weight.dtype)
    fields = int(kind.removeprefix("uint")) // WORD_FIELD
    place = n % (fields * WORD_WEIGHTS)
    shift = WORD_FIELD * (place % fields) + 2 * (place // fields)
    word = weight(n // (fields * WORD_WEIGHTS), k)
    return tirx.bitwise_and(tirx.shift_right(word, shift.astype(kind)), tirx.const(3, kind)).astype("int32")


def _of_byte(weight: Any, n: Any, k: Any, digits: int) -> Any:
    """Weight ``k`` of output ``n``, plus one, where bytes are packed."""
    lanes, each = int(weight.shape[2]), int(weight.shape[3])
    run = digits * each
    byte = weight(n // lanes, k // run, n % lanes, k % each).astype("int32")
    return _field(byte, k % run // each, digits)


def _field(byte: Any, place: Any, digits: int) -> Any:
    """One weight of a byte, plus one; divisors that are constants become shifts."""
    base = 4 if digits == FIELDS else 3
    values = [tirx.floormod(tirx.floordiv(byte, tirx.const(base**s, "int32")), tirx.const(base, "int32"))
              for s in range(digits)]  # fmt: skip
    chosen = values[-1]
    for s in range(digits - 2, -1, -1):
        chosen = tirx.Select(tirx.EQ(place, tirx.const(s, dtype_of(place))), values[s], chosen)
    return chosen


DYNAMIC: dict[str, Callable[[Any, Sequence[Any], dict[str, Any]], Any]] = {
    "EpRowCodes": _row_codes,
    "EpTernaryDense": _ternary,
    "EpDynamicDense": _eight,
}
