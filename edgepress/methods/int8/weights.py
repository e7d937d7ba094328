"""Weights as eight-bit integers, one scale per output channel, rounded to nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.graph.index import attribute

_INT32 = float(2**31 - 1)


@dataclass(frozen=True)
class IntegerWeight:
    """w ≈ scale · q along ``axis``; q is int8 in [−127, 127], the zero point is 0."""

    q: np.ndarray
    scale: np.ndarray
    axis: int

    def dequantised(self) -> np.ndarray:
        """The float32 weights that the integers stand for."""
        wide = self.q.astype(np.float32) * along(self.scale, self.axis, self.q.ndim)
        return np.asarray(wide, np.float32)


def along(values: np.ndarray, axis: int, dims: int) -> np.ndarray:
    """A vector shaped so that it multiplies an array of ``dims`` axes along one of them."""
    return np.asarray(values.reshape([-1 if i == axis else 1 for i in range(dims)]))


def channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a node's weight that counts output channels."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1


def channel_scales(
    weight: np.ndarray, axis: int, bits: int, per_channel: bool = True, floor: np.ndarray | None = None
) -> np.ndarray:
    """Scales that just hold the largest weight of each channel.

    Args:
        weight: float weights.
        axis: of the output channels.
        bits: 8, or 7 where the target's 16-bit partial sums would saturate.
        per_channel: one scale for each channel, or the same for all.
        floor: the least scale allowed, so that a large bias fits in 32 bits.
    """
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=others).astype(np.float64)
    if not per_channel:
        largest = np.full_like(largest, largest.max())
    scale = largest / (2 ** (bits - 1) - 1)
    if floor is not None:
        scale = np.maximum(scale, floor)
    # A channel of zeros still needs a scale that its bias can be written in.
    scale = np.where(scale < 1e-12, 1e-12 if floor is None else np.maximum(floor, 1e-12), scale)
    return scale.astype(np.float32)


def smallest_scale(bias: np.ndarray | None, input_scale: float) -> np.ndarray | None:
    """The least weight scale with which the bias, in steps of input scale times weight scale, fits 32
    bits."""
    if bias is None:
        return None
    return np.abs(bias.astype(np.float64)) / (_INT32 * 0.5 * input_scale)


def round_to_nearest(weight: np.ndarray, scale: np.ndarray, axis: int, bits: int) -> IntegerWeight:
    """Integers nearest to the weights, ties to even."""
    top = 2 ** (bits - 1) - 1
    q = np.clip(np.rint(weight.astype(np.float64) / along(scale, axis, weight.ndim)), -top, top)
    return IntegerWeight(q.astype(np.int8), scale, axis)


def integer_bias(
    bias: np.ndarray, input_scale: float, weight_scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The bias as 32-bit integers, and the scale of each: input scale times weight scale, in float32."""
    scale = (np.float32(input_scale) * weight_scale).astype(np.float32)
    q = np.clip(np.rint(bias.astype(np.float64) / scale), -_INT32, _INT32)
    return q.astype(np.int32), scale
