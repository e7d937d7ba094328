"""What quantised convolutions and matrix products sum, channels last, as tensor expressions.

Weights are packed by :mod:`packing8`: ``[panels, *window, inputs / depth, panel, depth]``. ``offset``
is added to every activation; the bias has taken it back already. ``notes`` are marks that the
schedules read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import te, tirx

from edgepress.targets.compilers.tvm.stages import KERNEL


def conv(
    x: Any,
    weight: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    channels: int,
    offset: int,
    notes: dict[str, int],
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


def dense(x: Any, weight: Any, channels: int, offset: int, notes: dict[str, int]) -> Any:
    """``x`` ``[..., inputs]`` times packed weights ``[panels, inputs / depth, panel, depth]``."""
    panel, depth = int(weight.shape[-2]), int(weight.shape[-1])
    k = te.reduce_axis((0, int(weight.shape[-3]) * depth), "ic")

    def element(*at: Any) -> Any:
        *rows, c = at
        column = weight(c // panel, k // depth, c % panel, k % depth)
        return te.sum(moved(x(*rows, k), offset) * column.astype("int32"), axis=k)

    shape = [*(int(extent) for extent in x.shape[:-1]), channels]
    return te.compute(shape, element, name="dense", attrs={KERNEL: "contraction", **notes})


def moved(value: Any, offset: int) -> Any:
    """An eight-bit value as int32, plus a constant."""
    wide = value.astype("int32")
    return wide + tirx.const(offset, "int32") if offset else wide
