"""What edgepress's own operators compute, channels last, as tensor expressions.

These definitions are the meaning; the schedules only say in which order it is worked out.
Weights of dense operators are packed in panels: ``[columns / panel][..., inputs][panel]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te, tirx

from edgepress.targets.compilers.tvm.stages import DEALT, GROUPS, KERNEL, MACS, WINDOW, WINOGRAD
from edgepress.targets.compilers.tvm.winograd import TAPS, tiles_of


def conv(
    x: Any,
    weight: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    channels: int,
    dtype: str,
    dealt: bool = False,
) -> Any:
    """Convolution of padded ``x`` ``[n, *space, inputs]`` by ``[panels, *window, inputs, panel]``.

    Weights with one axis more, in front, are those of groups, each of its own inputs and outputs. The inputs of a group
    are neighbours, or, where they are ``dealt``, as far apart as there are groups.
    """
    grouped = len(weight.shape) > len(strides) + 3
    window = [int(extent) for extent in weight.shape[1 + grouped : -2]]
    panel = int(weight.shape[-1])
    own = channels // int(weight.shape[0]) if grouped else channels
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    inputs = te.reduce_axis((0, int(weight.shape[-2])), "ic")
    shape = [int(x.shape[0]), *_out_space(x.shape[1:-1], window, strides, dilations), channels]

    def element(*at: Any) -> Any:
        n, *space, c = at
        source = [p * s + t * d for p, s, t, d in zip(space, strides, taps, dilations, strict=True)]
        channel = c // own * inputs.dom.extent + inputs if grouped else inputs
        channel = inputs * int(weight.shape[0]) + c // own if grouped and dealt else channel
        column = [*([c // own] if grouped else []), c % own // panel, *taps, inputs, c % own % panel]
        value = _wide(x(n, *source, channel), dtype) * _wide(weight(*column), dtype)
        return te.sum(value, axis=[*taps, inputs])

    notes: dict[str, Any] = {KERNEL: "contraction"}
    if grouped:
        notes |= {GROUPS: [int(weight.shape[-2]), own]} | ({DEALT: 1} if dealt else {})
    return te.compute(shape, element, name="conv", attrs=notes)


def depthwise(
    x: Any,
    weight: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    dtype: str,
    pads: Sequence[int] | None = None,
) -> Any:
    """Convolution of each channel of ``x`` ``[n, *space, c]`` by ``weight`` ``[*window, inputs, outputs]``.

    ``inputs`` are those of a group, whose outputs are ``outputs / (c / inputs)``: both 1 where channels stay
    apart. Without ``pads``, ``x`` is padded already; with them, reads outside ``x`` are zero.
    """
    window = [int(extent) for extent in weight.shape[:-2]]
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    dims, inputs, channels = len(window), int(weight.shape[-2]), int(weight.shape[-1])
    own = channels * inputs // int(x.shape[-1])
    each = [te.reduce_axis((0, inputs), "ic")] if inputs > 1 else []
    around = list(pads) if pads is not None else [0] * (2 * dims)
    extents = [int(extent) for extent in x.shape[1:-1]]
    padded = [e + a + b for e, a, b in zip(extents, around[:dims], around[dims:], strict=True)]
    space_out = _out_space(padded, window, strides, dilations)
    shape = [int(x.shape[0]), *space_out, channels]

    def element(*at: Any) -> Any:
        n, *space, c = at
        first = c if inputs == own == 1 else c // own * inputs
        source = [
            p * s + t * d - before
            for p, s, t, d, before in zip(space, strides, taps, dilations, around[:dims], strict=True)
        ]
        value = _wide(x(n, *source, first + each[0] if each else first), dtype)
        if any(around):
            inside = [
                condition
                for s, extent in zip(source, extents, strict=True)
                for condition in (s >= 0, s < extent)
            ]
            value = tirx.if_then_else(tirx.all(*inside), value, tirx.const(0, dtype))
        other = _wide(weight(*taps, each[0] if each else 0, c), dtype)
        return te.sum(value * other, axis=[*taps, *each])

    notes: dict[str, Any] = {KERNEL: "window", GROUPS: [inputs, own]}
    if pads is not None:
        notes[WINDOW] = [*strides, *dilations, *around[:dims]]
    return te.compute(shape, element, name="depthwise", attrs=notes)


def dense(x: Any, weight: Any, channels: int, dtype: str) -> Any:
    """``x`` ``[..., inputs]`` times ``weight`` ``[panels, inputs, panel]``."""
    panel = int(weight.shape[-1])
    inputs = te.reduce_axis((0, int(weight.shape[-2])), "ic")
    shape = [*(int(extent) for extent in x.shape[:-1]), channels]

    def element(*at: Any) -> Any:
        *rows, c = at
        value = _wide(x(*rows, inputs), dtype) * _wide(weight(c // panel, inputs, c % panel), dtype)
        return te.sum(value, axis=inputs)

    return te.compute(shape, element, name="dense", attrs={KERNEL: "contraction"})


def winograd_image(x: Any, matrix: Any, m: int, pads: Sequence[int]) -> Any:
    """Tiles of ``x`` ``[n, h, w, c]``, transformed: ``Bᵀ x B`` as ``[(m+2)², tiles, c]``; outside it is zero.

    ``matrix`` is Bᵀ; tiles are ordered as their places in the image are.
    """
    n, h, w, c = (int(extent) for extent in x.shape)
    size = m + TAPS - 1
    down, across = tiles_of((h + pads[0] + pads[2] - TAPS + 1, w + pads[1] + pads[3] - TAPS + 1), m)
    i, j = (te.reduce_axis((0, size), name) for name in ("i", "j"))

    def element(p: Any, t: Any, c: Any) -> Any:
        row = t // across % down * m + i - pads[0]
        column = t % across * m + j - pads[1]
        inside = tirx.all(row >= 0, row < h, column >= 0, column < w)
        value = tirx.if_then_else(inside, x(t // (across * down), row, column, c), tirx.const(0, "float32"))
        return te.sum(value * (matrix(p // size, i) * matrix(p % size, j)), axis=[i, j])

    notes = {KERNEL: "winograd_image", WINOGRAD: [m, down, across, pads[0], pads[1]], MACS: 0}
    return te.compute((size * size, n * down * across, c), element, name="winograd_image", attrs=notes)


def winograd_product(x: Any, weight: Any, channels: int, macs: int) -> Any:
    """``x`` ``[p, tiles, inputs]`` times ``weight`` ``[p, panels, inputs, panel]``, for each ``p``.

    ``macs`` are those of the convolution that this stands for.
    """
    panel = int(weight.shape[-1])
    inputs = te.reduce_axis((0, int(weight.shape[-2])), "ic")

    def element(p: Any, t: Any, c: Any) -> Any:
        return te.sum(x(p, t, inputs) * weight(p, c // panel, inputs, c % panel), axis=inputs)

    shape = (int(x.shape[0]), int(x.shape[1]), channels)
    return te.compute(shape, element, name="winograd_product", attrs={KERNEL: "contraction", MACS: macs})


def winograd_output(x: Any, matrix: Any, m: int, space: Sequence[int]) -> Any:
    """Products ``[(m+2)², tiles, c]`` as outputs ``[n, *space, c]``: ``Aᵀ x A``, where ``matrix`` is Aᵀ."""
    size = m + TAPS - 1
    down, across = tiles_of((space[0], space[1]), m)
    n = int(x.shape[1]) // (down * across)
    a, b = (te.reduce_axis((0, size), name) for name in ("a", "b"))

    def element(n: Any, h: Any, w: Any, c: Any) -> Any:
        product = x(a * size + b, (n * down + h // m) * across + w // m, c)
        return te.sum(product * (matrix(h % m, a) * matrix(w % m, b)), axis=[a, b])

    notes = {KERNEL: "winograd_output", WINOGRAD: [m, down, across], MACS: 0}
    return te.compute((n, *space, int(x.shape[2])), element, name="winograd_output", attrs=notes)


def max_pool(
    x: Any,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int] | None = None,
) -> Any:
    """The greatest value of each window of ``x`` ``[n, *space, c]``.

    Without ``pads``, ``x`` is padded already. With them, dilations are 1: a place outside ``x`` is taken to be
    the nearest one inside, which is in the same window.
    """
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    dims = len(window)
    around = list(pads) if pads is not None else [0] * (2 * dims)
    extents = [int(extent) for extent in x.shape[1:-1]]
    padded = [e + a + b for e, a, b in zip(extents, around[:dims], around[dims:], strict=True)]
    shape = [int(x.shape[0]), *_out_space(padded, window, strides, dilations), int(x.shape[-1])]

    def element(*at: Any) -> Any:
        n, *space, c = at
        source = [
            p * s + t * d - before
            for p, s, t, d, before in zip(space, strides, taps, dilations, around[:dims], strict=True)
        ]
        if any(around):
            source = [tirx.max(tirx.min(s, extent - 1), 0) for s, extent in zip(source, extents, strict=True)]
        return te.max(x(n, *source, c), axis=taps)

    return te.compute(shape, element, name="max_pool", attrs={KERNEL: "window"})


def window_sum(x: Any, window: Sequence[int], strides: Sequence[int], dtype: str) -> Any:
    """The sum of each window of padded ``x`` ``[n, *space, c]``."""
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    ones = [1] * len(window)
    shape = [int(x.shape[0]), *_out_space(x.shape[1:-1], window, strides, ones), int(x.shape[-1])]

    def element(*at: Any) -> Any:
        n, *space, c = at
        source = [p * s + t for p, s, t in zip(space, strides, taps, strict=True)]
        return te.sum(_wide(x(n, *source, c), dtype), axis=taps)

    return te.compute(shape, element, name="window_sum", attrs={KERNEL: "window"})


def window_counts(
    space: Sequence[int],
    out: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
) -> list[list[int]]:
    """For each spatial dimension, how many places of each window lie inside the unpadded extent."""
    counts = []
    for extent, places, taps, stride, pad in zip(space, out, window, strides, pads, strict=False):
        starts = [place * stride - pad for place in range(places)]
        counts.append([min(start + taps, extent) - max(start, 0) for start in starts])
    return counts


def round_half_even(value: Any, offset: int = 0) -> Any:
    """An fp32 value of magnitude below 2^22 as the nearest int32, ties to even, plus ``offset``.

    Adding 1.5 · 2^23 rounds in the processor's default mode and leaves the whole number in the low
    bits, without a library call; the value must come from a comparison, so that no multiplication
    is contracted into the addition.
    """
    bits = tirx.reinterpret("int32", value + tirx.const(12582912.0, "float32"))
    return bits - tirx.const(0x4B400000 - offset, "int32")


def _wide(value: Any, dtype: str) -> Any:
    return value if str(value.ty.dtype) == dtype else value.astype(dtype)


def _out_space(
    extents: Sequence[Any], window: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    return [
        (int(extent) - (taps - 1) * dilation - 1) // stride + 1
        for extent, taps, stride, dilation in zip(extents, window, strides, dilations, strict=True)
    ]
