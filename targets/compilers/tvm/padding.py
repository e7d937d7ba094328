"""What converters share: static shapes, padding as an operator of its own, TVM's fusing patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import topi

OUT_EWISE_FUSABLE = 4  # TVM's op pattern: element-wise operators may be fused behind it
OPAQUE = 8  # nothing may be


def static_shape(x: Any) -> list[int]:
    """The extents of a Relax tensor."""
    return [int(extent) for extent in x.ty.shape.values]


def padded(bb: Any, x: Any, pads: Sequence[int], fill: float, channels: int = 0) -> Any:
    """``x`` ``[n, *space, c]`` with ``pads`` places of value ``fill`` around each extent of space.

    ``channels``, where given, is how many there are at least, the added ones of value ``fill`` too.
    """
    shape = static_shape(x)
    more, pads = max(0, channels - shape[-1]), pads or [0] * (2 * (len(shape) - 2))
    if not any(pads) and not more:
        return x
    dims = len(shape) - 2
    before, after = [0, *pads[:dims], 0][-len(shape) :], [0, *pads[dims:], more][-len(shape) :]
    dtype = str(x.ty.dtype)
    value = fill if dtype.startswith("float") else int(fill)
    # A kernel of its own: fused behind a convolution it would have the sums stored instead of the results.
    own = {"op_pattern": OPAQUE} if dtype in ("int8", "uint8") else {}
    return bb.emit_te(topi.nn.pad, x, before, after, value, primfunc_attrs=own, primfunc_name_hint="pad")
