"""How far a layer is from what this machine can do at most: the roofline, with its caches.

A layer can be no faster than its operations at the peak, nor than its bytes at the bandwidth of the memory
that holds them: activations, which the layer before wrote, come from the smallest cache that they fit;
weights, which were last read an inference ago, from the smallest that holds the whole model.
After Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009, and Ilic, Pratas and Sousa,
"Cache-aware Roofline model", IEEE CAL 13(1), 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgepress.bundle.layers import KernelLayer
from edgepress.hardware.hwbench import Peak


@dataclass(frozen=True)
class Roof:
    """The least time that a layer could take.

    Attributes:
        ms: that time, in milliseconds.
        bound: what sets it: ``compute`` or ``memory``.
    """

    ms: float
    bound: Literal["compute", "memory"]

    def share(self, ms: float) -> float | None:
        """The share of the peak that a measured time reaches; None where it is no time.

        It passes 1 where an algorithm does less than is counted, as Winograd's does.
        """
        return self.ms / ms if ms > 0 and self.ms > 0 else None


def roof_of(layer: KernelLayer, peak: Peak, model_bytes: int) -> Roof:
    """The roof of a layer.

    Args:
        layer: its operations and bytes.
        peak: what the machine does at most, on as many threads as the layer ran on.
        model_bytes: weights and activations of the whole model, together.
    """
    compute = layer.operations / (peak.int8 if layer.integer else peak.fp32)
    memory = layer.activation_bytes / peak.reads(layer.activation_bytes)
    memory += layer.weight_bytes / peak.reads(model_bytes)
    return Roof(1e3 * max(compute, memory), "compute" if compute >= memory else "memory")


def model_bytes(layers: Sequence[KernelLayer], arena_bytes: int | None) -> int:
    """What a model touches in one inference: its weights (each kernel's, once) and its arena."""
    return sum(layer.weight_bytes for layer in layers) + (arena_bytes or 0)
