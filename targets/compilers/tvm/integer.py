"""What quantised convolutions and matrix products sum, channels last, as tensor expressions.

Weights are packed by :mod:`packing8`: ``[panels, *window, inputs / depth, panel, depth]``. ``offset``
is added to every activation; the bias has taken it back already. ``notes`` are marks that the
schedules read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te, tirx

from edgepress.targets.compilers.tvm.stages import DEPTHWISE, KERNEL


def conv(
    x: Any,
    weight: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    channels: int,
    offset: int,
    notes: dict[str, Any],
) -> Any:
    """Convolution of padded ``x`` ``[n, *space, inputs or more]`` by packed weights."""
    window = [int(extent) for extent in weight.shape[1:-3]]
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    space = [
        (int(extent) - (taps - 1) * dilation - 1) // stride + 1
        for extent, taps, stride, dilation in zip(x.shape[1:-1], window, strides, dilations, strict=True)
    ]
    panel, depth = int(weight.shape[-2]), int(weight.shape[-1])
    k = te.reduce_axis((0, int(weight.shape[-3]) * depth), "ic")

    def element(*at: Any) -> Any:
        n, *place, c = at
        source = [p * s + t * d for p, s, t, d in zip(place, strides, taps, dilations, strict=True)]
        column = weight(c // panel, *taps, k // depth, c % panel, k % depth)
        return te.sum(moved(x(n, *source, k), offset) * column.astype("int32"), axis=[*taps, k])

    return te.compute(
        [int(x.shape[0]), *space, channels], element, name="conv", attrs={KERNEL: "contraction", **notes}
    )


def dense(x: Any, weight: Any, channels: int, offset: int, notes: dict[str, Any]) -> Any:
    """``x`` ``[..., inputs]`` times packed weights ``[panels, inputs / depth, panel, depth]``."""
    panel, depth = int(weight.shape[-2]), int(weight.shape[-1])
    k = te.reduce_axis((0, int(weight.shape[-3]) * depth), "ic")

    def element(*at: Any) -> Any:
        *rows, c = at
        column = weight(c // panel, k // depth, c % panel, k % depth)
        return te.sum(moved(x(*rows, k), offset) * column.astype("int32"), axis=k)

    shape = [*(int(extent) for extent in x.shape[:-1]), channels]
    return te.compute(shape, element, name="dense", attrs={KERNEL: "contraction", **notes})


def depthwise(
    x: Any,
    weight: Any,
    taps: int,
    strides: Sequence[int],
    dilations: Sequence[int],
    offset: int,
    notes: dict[str, Any],
) -> Any:
    """Convolution of each channel of padded ``x`` ``[n, *space, c]``, ``taps`` the window's last extent.

    Weights are ``[*window, c]``, or packed by :func:`packing8.pack_depthwise`.
    """
    dims, packed = len(strides), len(weight.shape) > len(strides) + 1
    window = [*(int(extent) for extent in weight.shape[1:dims]), taps] if packed else \
        [int(extent) for extent in weight.shape[:-1]]  # fmt: skip
    axes = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    space = [
        (int(extent) - (taps - 1) * dilation - 1) // stride + 1
        for extent, taps, stride, dilation in zip(x.shape[1:-1], window, strides, dilations, strict=True)
    ]
    block = 16 * int(weight.shape[-3]) if packed else 0

    def element(*at: Any) -> Any:
        n, *place, c = at
        source = [p * s + t * d for p, s, t, d in zip(place, strides, axes, dilations, strict=True)]
        if packed:
            *rows, tap = axes
            where = [c // block, *rows, tap // 4, (c % 16) // 4, (c % block) // 16, c % 4, tap % 4]
        else:
            where = [*axes, c]
        value = moved(x(n, *source, c), offset) * weight(*where).astype("int32")
        return te.sum(value, axis=axes)

    kind = {KERNEL: DEPTHWISE if packed else "window"}
    return te.compute(
        [int(x.shape[0]), *space, int(x.shape[-1])], element, name="depthwise", attrs={**kind, **notes}
    )


def moved(value: Any, offset: int) -> Any:
    """An eight-bit value as int32, plus a constant."""
    wide = value.astype("int32")
    return wide + tirx.const(offset, "int32") if offset else wide
