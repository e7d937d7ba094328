"""How the window of a convolution or a pool moves: strides, dilations and pads, whichever way a node gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def window_of(attrs: dict[str, Any], shape: Sequence[int], kernel: Sequence[int]) -> dict[str, list[int]]:
    """Strides, dilations and pads of a windowed node, automatic padding worked out."""
    dims = len(kernel)
    strides = list(attrs.get("strides", [1] * dims))
    dilations = list(attrs.get("dilations", [1] * dims))
    pads = list(attrs.get("pads", [0] * (2 * dims)))
    auto = attrs.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for d in range(dims):
            reach = (kernel[d] - 1) * dilations[d] + 1
            total = max((-(-shape[2 + d] // strides[d]) - 1) * strides[d] + reach - shape[2 + d], 0)
            small, large = total // 2, total - total // 2
            pads[d], pads[dims + d] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto == "VALID":
        pads = [0] * (2 * dims)
    return {"strides": strides, "dilations": dilations, "pads": pads}
