"""Which of two engines is faster on an x86 processor, by estimate: rooflines, and the share of them that each
kind of code reached where it was measured.

A layer takes the time of its roof (:mod:`edgepress.hardware.roofline`) over the share of it that its kernel
reaches, and ONNX Runtime some microseconds a node beside. The shares are medians over EfficientNet-Lite0,
ResNet-18, a transformer's encoder and one step of its decoder, in fp32 and int8, one thread, on a processor
with AVX-512 VNNI; those of kernels without a schedule of their own are from single layers (transposed
convolution, resizing), and so are those of dense layers of dynamic rows and of filters along one axis. Only
the ratio is worth anything, and no more than its error factor says.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgepress.bundle.layers import KernelLayer
from edgepress.hardware.hwbench import CacheRead, Peak, Peaks
from edgepress.hardware.roofline import model_bytes, roof_of
from edgepress.measurement import Measurement
from edgepress.targets.description import Target

ERROR = 1.4  # the ratio was within this factor of what was measured on each of those networks
_MOSTLY_NODES = 1.5  # from here on what nodes cost beside their work decides, and is known least

# Family → share of the roof. What is not named has no schedule of its own.
_AOT = {
    "tile": 0.88, "tile_dot": 0.65, "tile_int8": 0.3, "depthwise": 0.65, "depthwise_dot": 0.27,
    "window": 0.2, "rows": 0.25, "copy": 0.5, "ternary": 0.8, "filter": 0.8,
}  # fmt: skip
_AOT_OTHER = 0.3
_SCALAR = 0.008  # multiply-adds by plain loops: one at a time
# Operator → share of the roof in floats, and in integers.
_ORT = {"Conv": (0.78, 0.43), "DepthwiseConv": (0.32, 0.09), "Gemm": (0.75, 0.6), "MatMul": (0.7, 0.3),
        "MatMulInteger": (0.3, 0.65)}  # fmt: skip
_ORT_OTHER = (0.3, 0.1)
_ORT_NODE_MS, _ORT_LEAST_NODE_MS = 0.002, 0.0004  # the second is of small element-wise nodes
_AOT_OP_MS = 0.0003


def aot_over_ort(
    aot: Sequence[KernelLayer],
    ort: Sequence[KernelLayer],
    arena_bytes: int,
    target: Target,
    peaks: Peaks | None = None,
) -> Measurement | None:
    """The time of aot over that of ONNX Runtime, one thread; None where the shares say nothing of the target.

    Args:
        aot: the layers of the compiled model.
        ort: the nodes of the graph.
        arena_bytes: what aot's temporaries take.
        target: the board.
        peaks: what was measured of the machine, where it is this one.
    """
    if target.cpu.arch != "x86_64" or not aot or not ort:
        return None
    peak = peaks.at(1) if peaks is not None else usual_peak(target)
    whole = model_bytes(aot, arena_bytes)
    first = sum(roof_of(layer, peak, whole).ms / _aot_share(layer) + _AOT_OP_MS for layer in aot)
    work = sum(roof_of(layer, peak, whole).ms / _ort_share(layer) for layer in ort)
    second, least = (work + node * len(ort) for node in (_ORT_NODE_MS, _ORT_LEAST_NODE_MS))
    ratio = first / second
    error = ERROR if second < _MOSTLY_NODES * least else round(ERROR * second / least, 1)
    whose = "this machine's peaks" if peaks is not None else "the usual peaks of such processors"
    how = f"rooflines with {whose}, and shares of them measured with AVX-512 VNNI; may be off by {error:g}"
    return Measurement("aot over ort", ratio, "times", "estimated", how, ratio / error, ratio * error)


def _aot_share(layer: KernelLayer) -> float:
    if layer.macs and layer.kernel not in _AOT:
        return _SCALAR
    return _AOT.get(layer.kernel, _AOT_OTHER)


def _ort_share(layer: KernelLayer) -> float:
    return _ORT.get(layer.op, _ORT_OTHER)[layer.integer]


def usual_peak(target: Target) -> Peak:
    """Peaks as two multiply-adds a cycle at 3 GHz give them: only what they are to each other matters."""
    fp32 = 3e9 * 2 * 2 * max(1, target.cpu.vector_bits // 32)
    fours = {"avx512vnni", "avxvnni"} & set(target.cpu.features)
    caches = (CacheRead(1 << 20, fp32), CacheRead(32 << 20, fp32 / 3))
    return Peak(1, fp32, fp32 * (4 if fours else 2), fp32 / 8, caches)
