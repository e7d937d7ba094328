"""The weights of quantised sums as the target's kernels read them, with the bias and the scale that belong to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgepress.graph.ternary_storage import is_ternary
from edgepress.targets.compilers.tvm import packing8
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.packing2 import folded

FEW = "fewer than eight inputs"
APART = "each output has an input of its own"
LARGE = "its sums or scales would not be exact"
_TOP = 64  # a weight of two bits at the top of its byte
_WHOLE = ("vpdpbusd", "sdot")  # products by weights at the top add up in 32 bits
_SMALLEST = _TOP * float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Weights8:
    """Weights of one operator.

    Attributes:
        packed: int8 as :func:`packing8.pack` has them, or uint8 as :func:`packing2.folded` does; those of
            groups stacked.
        bias: int32 ``[outputs]``.
        scale: fp32 ``[outputs]``.
        attrs: what the operator has to know: ``dot``, ``offset``, ``deep`` (inputs of a sum, padding counted),
            ``gain`` of folded weights, and ``eight``, why ternary weights are not folded.
    """

    packed: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    attrs: dict[str, Any] = field(default_factory=dict)


def packed_weights(
    machine: Machine,
    weight: np.ndarray,
    bias: np.ndarray,
    scale: np.ndarray,
    dtype: str,
    plain_panel: int,
    groups: int = 1,
) -> Weights8:
    """Weights packed for the target's instructions, at two bits where all are −1, 0 or 1.

    Args:
        machine: the target.
        weight: int8 ``[outputs, inputs of a group, *window]``.
        bias, scale: of the sums, ``[outputs]``.
        dtype: of the activations.
        plain_panel: columns of a panel where no instruction sums neighbouring products.
        groups: of the convolution.
    """
    packing = packing8.packing_of(machine, weight, plain_panel)
    each = weight.reshape(groups, -1, *weight.shape[1:])
    least = -(-each.shape[1] // machine.lanes) * machine.lanes
    packing = replace(packing, panel=min(packing.panel, least) if groups > 1 else packing.panel)
    offset = 0
    if packing.depth > 1:
        bias, offset = packing8.moved_bias(machine, weight, bias, dtype)
    packed = np.stack([packing8.pack(one, packing) for one in each])
    attrs: dict[str, Any] = {"dot": packing.dot, "offset": offset, "deep": packed.shape[-3] * packing.depth}
    made = Weights8(packed if groups > 1 else packed[0], bias, scale, attrs)
    return _folded(made, weight) if is_ternary(weight) else made


def _folded(made: Weights8, weight: np.ndarray) -> Weights8:
    """The same at two bits, where that is less and exact; else told why not.

    Where sums have 32 bits, weights stay at the top of their bytes, which saves a shift: sums are 64 times as
    large, the bias too, and the scale takes that back. All of it is exact.
    """
    gain = _TOP if made.attrs["dot"] in _WHOLE else 1
    largest = np.abs(weight.reshape(len(weight), -1)).sum(1, dtype=np.int64) * 255 + np.abs(
        made.bias.astype(np.int64)
    )
    exact = gain * largest.max(initial=0) < 2**31 and made.scale.min(initial=1) > _SMALLEST
    why = FEW if weight.shape[1] < 8 else "" if exact else LARGE
    if why:
        return replace(made, attrs={**made.attrs, "eight": why})
    return Weights8(
        folded(made.packed),
        made.bias * np.int32(gain),
        made.scale / np.float32(gain),
        {**made.attrs, "gain": gain},
    )


def why_apart(weight: np.ndarray) -> dict[str, str]:
    """Why the weights of a depthwise convolution stay at eight bits, where they could be thought to do with two."""
    return {"eight": APART} if is_ternary(weight) else {}
