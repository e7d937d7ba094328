"""What quantised convolutions and matrix products sum, channels last, as tensor expressions.

Weights are packed by :mod:`packing8`: ``[panels, *window, inputs / depth, panel, depth]``. ``offset``
is added to every activation; the bias has taken it back already. ``notes`` are marks that the
schedules read; with :data:`stages.GAIN` weights are :func:`packing2.folded`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm import te, tirx

from edgepress.targets.compilers.tvm.packing2 import FIELDS
from edgepress.targets.compilers.tvm.stages import DEPTHWISE, GAIN, GROUPS, KERNEL, WINDOW


def conv(
    x: Any,
    weight: Any,
    strides: Sequence[int],
    dilations: Sequence[int],
    channels: int,
    offset: int,
    notes: Mapping[str, Any],
    inputs: int,
) -> Any:
    """Convolution of padded ``x`` ``[n, *space, inputs or more]`` by packed weights.

    ``inputs`` are those of a sum, with what pads them. Weights with one axis more, in front, are those of
    groups, each of its own inputs and outputs.
    """
    grouped = len(weight.shape) > len(strides) + 4
    window = [int(extent) for extent in weight.shape[1 + grouped : -3]]
    own = channels // int(weight.shape[0]) if grouped else channels
    taps = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    space = [
        (int(extent) - (taps - 1) * dilation - 1) // stride + 1
        for extent, taps, stride, dilation in zip(x.shape[1:-1], window, strides, dilations, strict=True)
    ]
    panel = int(weight.shape[-2])
    k = te.reduce_axis((0, inputs), "ic")

    def element(*at: Any) -> Any:
        n, *place, c = at
        source = [p * s + t * d for p, s, t, d in zip(place, strides, taps, dilations, strict=True)]
        where = [*([c // own] if grouped else []), c % own // panel, *taps]
        column = _weight(weight, where, k, c % own % panel, notes)
        channel = c // own * k.dom.extent + k if grouped else k
        return te.sum(moved(x(n, *source, channel), offset) * column, axis=[*taps, k])

    marks: dict[str, Any] = {KERNEL: "contraction", **notes}
    if grouped:
        marks[GROUPS] = [int(k.dom.extent), own]
    return te.compute([int(x.shape[0]), *space, channels], element, name="conv", attrs=marks)


def dense(
    x: Any, weight: Any, channels: int, offset: int, notes: dict[str, Any], inputs: int | None = None
) -> Any:
    """``x`` ``[..., inputs]`` times packed weights ``[panels, inputs / depth, panel, depth]``, which say how many."""
    panel = int(weight.shape[-2])
    k = te.reduce_axis((0, inputs or int(weight.shape[-3] * weight.shape[-1])), "ic")

    def element(*at: Any) -> Any:
        *rows, c = at
        column = _weight(weight, [c // panel], k, c % panel, notes)
        return te.sum(moved(x(*rows, k), offset) * column, axis=k)

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
    around: Sequence[int] | None = None,
    zero: int = 0,
) -> Any:
    """Convolution of each channel of ``x`` ``[n, *space, c]``, ``taps`` the window's last extent.

    Weights are ``[*window, c]``, or packed by :func:`packing8.pack_depthwise`. Without ``around``, ``x`` is
    padded already; with these pads, reads outside ``x`` are ``zero``.
    """
    dims, packed = len(strides), len(weight.shape) > len(strides) + 1
    if packed:
        blank = around is not None and dims == 2  # a last row of zeros that is no part of the window
        window = [*(int(extent) - blank for extent in weight.shape[1:dims]), taps]
    else:
        window = [int(extent) for extent in weight.shape[:-1]]
    axes = [te.reduce_axis((0, extent), f"w{d}") for d, extent in enumerate(window)]
    extents, pads = [int(extent) for extent in x.shape[1:-1]], list(around or [0] * (2 * dims))
    space = [
        (extent + pads[d] + pads[dims + d] - (window[d] - 1) * dilations[d] - 1) // strides[d] + 1
        for d, extent in enumerate(extents)
    ]
    if around is not None:
        notes = {**notes, WINDOW: [*strides, *dilations, *pads[:dims]]}
    block = 16 * int(weight.shape[-3]) if packed else 0

    def element(*at: Any) -> Any:
        n, *place, c = at
        source = [
            p * s + t * d - before
            for p, s, t, d, before in zip(place, strides, axes, dilations, pads[:dims], strict=True)
        ]
        read = x(n, *source, c)
        if any(pads):
            inside = [
                bound for s, extent in zip(source, extents, strict=True) for bound in (s >= 0, s < extent)
            ]
            read = tirx.if_then_else(tirx.all(*inside), read, tirx.const(zero, str(x.dtype)))
        if packed:
            *rows, tap = axes
            where = [c // block, *rows, tap // 4, (c % 16) // 4, (c % block) // 16, c % 4, tap % 4]
        else:
            where = [*axes, c]
        return te.sum(moved(read, offset) * weight(*where).astype("int32"), axis=axes)

    kind = {KERNEL: DEPTHWISE if packed else "window"}
    return te.compute(
        [int(x.shape[0]), *space, int(x.shape[-1])], element, name="depthwise", attrs={**kind, **notes}
    )


def _weight(weight: Any, before: list[Any], k: Any, column: Any, notes: Mapping[str, Any]) -> Any:
    """The weight of input ``k`` as int32, times the gain where weights are folded."""
    depth = int(weight.shape[-1])
    if GAIN not in notes:
        return weight(*before, k // depth, column, k % depth).astype("int32")
    byte = weight(*before, k // (FIELDS * depth), column, k % depth).astype("uint32")
    up = 30 - k // depth % FIELDS * 2
    bits = tirx.reinterpret("int32", tirx.shift_left(byte, up.astype("uint32")))
    value = tirx.shift_right(bits, tirx.const(30, "int32"))
    up = int(notes[GAIN]).bit_length() - 1  # a shift: a product would be put together with the activation's
    return tirx.shift_left(value, tirx.const(up, "int32")) if up else value


def moved(value: Any, offset: int) -> Any:
    """An eight-bit value as int32, plus a constant."""
    wide = value.astype("int32")
    return wide + tirx.const(offset, "int32") if offset else wide
