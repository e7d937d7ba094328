"""Converters of the quantised operators: int32 sums, one fp32 product, rounding to even, saturation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import relax, te, tirx

from edgepress.targets.compilers.tvm import compute, integer
from edgepress.targets.compilers.tvm.padding import OPAQUE, OUT_EWISE_FUSABLE, padded, static_shape
from edgepress.targets.compilers.tvm.stages import BOUNDED, DOT, EIGHT, GAIN, INPUTS, KERNEL, PLANES

_ELEMENT_WISE = 0


def requantise(real: Any, attrs: dict[str, Any]) -> Any:
    """An fp32 value in output steps as a quantised one: ``saturate(rne(real) + zero)``."""
    zero = int(attrs["zero_out"])
    low, high = float(attrs["low"] - zero), float(attrs["high"] - zero)
    held = te.max(te.min(real, tirx.const(high, "float32")), tirx.const(low, "float32"))
    return compute.round_half_even(held, zero).astype(_dtype(attrs["to"]))


def _dtype(kind: int) -> str:
    return str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)


def _scaled(acc: Any, bias: Any, scale: Any, attrs: dict[str, Any], name: str) -> Any:
    def element(*at: Any) -> Any:
        c = at[-1]
        if len(bias.shape) > 1:  # packed by channel_order
            block = 16 * int(bias.shape[2])
            where: tuple[Any, ...] = (c // block, (c % 16) // 4, (c % block) // 16, c % 4)
        else:
            where = (c,)
        real = (acc(*at) + bias(*where)).astype("float32") * scale(*where)
        return real if attrs["to"] == onnx.TensorProto.FLOAT else requantise(real, attrs)

    return te.compute(acc.shape, element, name=name)


def _notes(attrs: dict[str, Any]) -> dict[str, Any]:
    given = {INPUTS: "terms", GAIN: "gain"}
    notes = {note: attrs[key] for note, key in given.items() if key in attrs}
    words = {note: attrs[key].decode() for note, key in {DOT: "dot", EIGHT: "eight"}.items() if key in attrs}
    return {**notes, **words, BOUNDED: attrs["bounded"]}


def _emit(bb: Any, function: Callable[..., Any], inputs: Sequence[Any], name: str) -> Any:
    return bb.emit_te(
        function, *inputs, primfunc_attrs={"op_pattern": OUT_EWISE_FUSABLE}, primfunc_name_hint=name
    )


def _conv(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    grouped = len(static_shape(inputs[1])) > len(attrs["strides"]) + 4
    x = padded(bb, inputs[0], attrs["pads"], attrs["zero_in"], 0 if grouped else attrs["deep"])

    def function(x: Any, weight: Any, bias: Any, scale: Any) -> Any:
        settings = (list(attrs["strides"]), list(attrs["dilations"]), attrs["channels"], attrs["offset"])
        acc = integer.conv(x, weight, *settings, _notes(attrs), attrs["deep"])
        return _scaled(acc, bias, scale, attrs, "conv_int8")

    return _emit(bb, function, [x, *inputs[1:]], "conv_int8")


def _depthwise(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    around = list(attrs["pads"]) if attrs.get("pad_inside") else None
    x = inputs[0] if around else padded(bb, inputs[0], attrs["pads"], attrs["zero_in"])

    def function(x: Any, weight: Any, bias: Any, scale: Any) -> Any:
        settings = (attrs["taps"], list(attrs["strides"]), list(attrs["dilations"]), attrs["offset"])
        acc = integer.depthwise(x, weight, *settings, _notes(attrs), around, attrs["zero_in"])
        return _scaled(acc, bias, scale, attrs, "depthwise_int8")

    return _emit(bb, function, [x, *inputs[1:]], "depthwise_int8")


def _dense(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    def function(x: Any, weight: Any, bias: Any, scale: Any) -> Any:
        acc = integer.dense(x, weight, attrs["channels"], attrs["offset"], _notes(attrs), attrs["deep"])
        return _scaled(acc, bias, scale, attrs, "dense_int8")

    x = padded(bb, inputs[0], [], 0, attrs["deep"])
    return _emit(bb, function, [x, *inputs[1:]], "dense_int8")


def _mean(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    axes = list(attrs["axes"])
    shape = static_shape(inputs[0])

    def function(x: Any) -> Any:
        taps = {axis: te.reduce_axis((0, shape[axis]), f"w{axis}") for axis in axes}
        kept = [1 if axis in taps else extent for axis, extent in enumerate(shape)]

        def total(*at: Any) -> Any:
            source = [taps.get(axis, at[axis]) for axis in range(len(shape))]
            return te.sum(x(*source).astype("int32"), axis=list(taps.values()))

        acc = te.compute(kept, total, name="sum", attrs={KERNEL: "window"})

        def element(*at: Any) -> Any:
            centred = acc(*at) - tirx.const(attrs["zeros"][0], "int32")
            return requantise(centred.astype("float32") * tirx.const(attrs["scales"][0], "float32"), attrs)

        return te.compute(kept, element, name="mean_int8")

    y = _emit(bb, function, inputs, "mean_int8")
    return y if attrs["keepdims"] else relax.op.squeeze(y, axes)


def _element_wise(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any], name: str, combine: Any) -> Any:
    shapes = [static_shape(x) for x in inputs]
    rank = max(len(shape) for shape in shapes)
    full = [[1] * (rank - len(shape)) + shape for shape in shapes]
    out = [int(extent) for extent in np.broadcast_shapes(*(tuple(shape) for shape in shapes))]

    def function(a: Any, b: Any) -> Any:
        def element(*at: Any) -> Any:
            values = []
            for tensor, shape, own, zero in zip((a, b), full, shapes, attrs["zeros"], strict=True):
                where = [0 if shape[d] == 1 else at[d] for d in range(rank)][rank - len(own) :]
                values.append((tensor(*where).astype("int32") - tirx.const(zero, "int32")).astype("float32"))
            return combine(values)

        return te.compute(out, element, name=name)

    return bb.emit_te(function, *inputs, primfunc_attrs={"op_pattern": 1}, primfunc_name_hint=name)


def _add(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """The sum as ONNX Runtime makes it, so that ties fall alike.

    Every zero point is in one constant, which the second operand joins before the first.
    """
    scales, zeros = np.array(attrs["scales"], np.float32), np.array(attrs["zeros"], np.float32)
    # The inner product rounds once, as in a fused multiply-add.
    inner = np.float32(np.float64(scales[0]) * zeros[0] + np.float64(scales[1] * zeros[1]))
    fixed = np.float32(attrs["zero_out"]) - inner
    first, second, constant = (tirx.const(float(value), "float32") for value in (*scales, fixed))
    low, high = (tirx.const(float(attrs[bound]), "float32") for bound in ("low", "high"))

    def combine(values: list[Any]) -> Any:
        real = (values[1] * second + constant) + values[0] * first
        return compute.round_half_even(te.max(te.min(real, high), low), 0).astype(_dtype(attrs["to"]))

    return _element_wise(bb, inputs, {**attrs, "zeros": [0, 0]}, "add_int8", combine)


def _mul(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    factor = tirx.const(attrs["scales"][0], "float32")
    return _element_wise(bb, inputs, attrs, "mul_int8", lambda v: requantise((v[0] * v[1]) * factor, attrs))


def _along(x: Any, parameter: Any, axis: int) -> Callable[..., Any]:
    """How an element's scale or zero point is read: one for all, or one for each place of an axis."""
    rank = len(static_shape(x))
    if len(static_shape(parameter)) == 0:
        return lambda tensor, at: tensor()
    if static_shape(parameter) == [1]:
        return lambda tensor, at: tensor(0)
    return lambda tensor, at: tensor(at[axis % rank])


def _quantize(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    x, scale = inputs[0], inputs[1]
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else relax.const(np.zeros((), np.uint8))
    dtype = _eight_or_sixteen(zero)
    read_scale, read_zero = _along(x, scale, attrs.get("axis", 1)), _along(x, zero, attrs.get("axis", 1))

    def function(x: Any, scale: Any, zero: Any) -> Any:
        def element(*at: Any) -> Any:
            return _steps(x(*at), read_scale(scale, at), read_zero(zero, at), dtype)

        return te.compute(x.shape, element, name="quantize")

    return bb.emit_te(
        function, x, scale, zero, primfunc_attrs={"op_pattern": _ELEMENT_WISE}, primfunc_name_hint="quantize"
    )


def _eight_or_sixteen(zero: Any) -> str:
    dtype = str(zero.ty.dtype)
    if np.iinfo(dtype).bits > 16:
        raise ValueError(f"QuantizeLinear to {dtype}")
    return dtype


def _steps(value: Any, scale: Any, zero: Any, dtype: str) -> Any:
    """An fp32 value quantised: ``saturate(rne(value / scale) + zero)``."""
    # Bounds wider than the type's keep the rounding exact before the zero point is added.
    held = te.max(te.min(value / scale, tirx.const(2.0**20, "float32")), tirx.const(-(2.0**20), "float32"))
    steps, info = compute.round_half_even(held) + zero.astype("int32"), np.iinfo(dtype)
    steps = te.max(te.min(steps, tirx.const(info.max, "int32")), tirx.const(info.min, "int32"))
    return steps.astype(dtype)


def _image(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """An fp32 image ``[n, c, h, w]`` as eight-bit pixels ``[n, h, w, 4]`` with ``pads`` around it."""
    x, scale, zero = inputs
    dtype, (top, left, bottom, right) = _eight_or_sixteen(zero), attrs["pads"]
    n, channels, height, width = static_shape(x)
    read_scale, read_zero = _along(x, scale, 1), _along(x, zero, 1)

    def function(x: Any, scale: Any, zero: Any) -> Any:
        def element(*at: Any) -> Any:
            b, y, across, c = at
            y, across = y - top, across - left
            inside = tirx.all(y >= 0, y < height, across >= 0, across < width, c < channels)
            value = _steps(x(b, c, y, across), read_scale(scale, at), read_zero(zero, at), dtype)
            return tirx.if_then_else(inside, value, tirx.const(attrs["zero_in"], dtype))

        notes = {KERNEL: PLANES, PLANES: [channels, top, left, height, width]}
        return te.compute([n, height + top + bottom, width + left + right, 4], element, "image", attrs=notes)

    own = {"op_pattern": OPAQUE}
    return bb.emit_te(function, x, scale, zero, primfunc_attrs=own, primfunc_name_hint="image_int8")


def _dequantize(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    x, scale = inputs[0], inputs[1]
    zero = (
        inputs[2] if len(inputs) > 2 and inputs[2] is not None else relax.const(np.zeros((), str(x.ty.dtype)))
    )
    read_scale, read_zero = _along(x, scale, attrs.get("axis", 1)), _along(x, zero, attrs.get("axis", 1))

    def function(x: Any, scale: Any, zero: Any) -> Any:
        def element(*at: Any) -> Any:
            centred = x(*at).astype("int32") - read_zero(zero, at).astype("int32")
            return centred.astype("float32") * read_scale(scale, at)

        return te.compute(x.shape, element, name="dequantize")

    return bb.emit_te(
        function,
        x,
        scale,
        zero,
        primfunc_attrs={"op_pattern": _ELEMENT_WISE},
        primfunc_name_hint="dequantize",
    )


def _table(bb: Any, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    def function(x: Any, table: Any) -> Any:
        return te.compute(x.shape, lambda *at: table(x(*at).astype("uint8").astype("int32")), name="table")

    # A kernel of its own: what is fused behind it would have its vectors made by the code generator.
    return bb.emit_te(
        function, *inputs, primfunc_attrs={"op_pattern": OPAQUE}, primfunc_name_hint="table_int8"
    )


QUANTISED: dict[str, Callable[[Any, Sequence[Any], dict[str, Any]], Any]] = {
    "EpQConv": _conv,
    "EpQDepthwise": _depthwise,
    "EpQDense": _dense,
    "EpQMean": _mean,
    "EpQImage": _image,
    "EpQAdd": _add,
    "EpQMul": _mul,
    "EpTable": _table,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
