"""What one layer costs: the counts that estimates are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCost:
    """A layer's work and traffic for one inference.

    Attributes:
        name: the layer's own name.
        op: its kind: ``Conv``, ``DepthwiseConv``, ``Gemm``, ``MatMul`` or any other operator's name.
        macs: multiply-adds; for a layer without any, elements computed.
        weight_bytes: bytes of weights that it reads.
        activation_bytes: bytes of activations that it reads and writes, together.
        integer: whether it computes on 8-bit integers.
    """

    name: str
    op: str
    macs: int
    weight_bytes: int
    activation_bytes: int
    integer: bool = False
