"""Ternary layers as standard ONNX operators: unsigned eight-bit activations, integer products.

Signed activations would be 27 to 300 times slower in ONNX Runtime on x86, so that rows carry the zero
point 128. The same numbers as the torch layers, but where a float sum before rounding falls otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

ROW_ZERO = 128


def _op(
    name: str, inputs: Sequence[Tensor | None], dtype: torch.dtype, shape: Sequence[Any], **attrs: Any
) -> Tensor:
    return torch.onnx.ops.symbolic(name, inputs, attrs, dtype=dtype, shape=shape, version=None)


def row_codes(x: Tensor, scale: Tensor) -> Tensor:
    """``clip(round(x · scale), −128, 127) + 128`` as uint8, of any shape; ``scale`` as :func:`row_scale` gives."""
    return ((x * scale).round().clamp(-128, 127) + ROW_ZERO).to(torch.uint8)


def integer_matmul(codes: Tensor, weight: Tensor) -> Tensor:
    """``[..., inputs]`` uint8 codes by ``[inputs, outputs]`` int8: int32 sums without the zero point's part."""
    zero = torch.tensor(ROW_ZERO, dtype=torch.uint8)
    return _op("MatMulInteger", [codes, weight, zero], torch.int32, [*codes.shape[:-1], weight.shape[1]])


def quantised(x: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    """``x`` through QuantizeLinear and DequantizeLinear with a step and a zero point of uint8."""
    codes = _op("QuantizeLinear", [x, step, zero], torch.uint8, x.shape)
    return _op("DequantizeLinear", [codes, step, zero], torch.float32, x.shape)


def dequantised(weight: Tensor, step: Tensor) -> Tensor:
    """Codes ``[outputs, ...]`` (int8 or int32) with a step for each output: DequantizeLinear over axis 0."""
    # ONNX Runtime makes Gemm an integer one only where its weight's zero point is written out.
    zero = [torch.zeros_like(step, dtype=weight.dtype)] if weight.dtype == torch.int8 else []
    return _op("DequantizeLinear", [weight, step, *zero], torch.float32, weight.shape, axis=0)


def integer_conv(codes: Tensor, weight: Tensor, shape: Sequence[Any], conv: Any) -> Tensor:
    """uint8 codes ``[batch, inputs, *space]`` by ternary int8 weights: int32 sums; padding counts as zero."""
    zero = torch.tensor(ROW_ZERO, dtype=torch.uint8)
    pads = [*conv.padding, *conv.padding]
    return _op(
        "ConvInteger", [codes, weight, zero], torch.int32, shape,
        strides=list(conv.stride), dilations=list(conv.dilation), group=conv.groups, pads=pads,
    )  # fmt: skip
