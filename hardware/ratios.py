"""What int8 gains over fp32 by a family of processors, where a board's own peak is not known."""

from __future__ import annotations

from dataclasses import dataclass

from edgepress.targets.description import Target


@dataclass(frozen=True)
class CountedRatio:
    """int8's time over fp32's.

    Attributes:
        ratio: the figure.
        error: the factor that it may be off by.
        how: what was counted or timed.
    """

    ratio: float
    error: float
    how: str


_COUNTED = "ONNX Runtime 1.31's instructions per multiply-add on MobileNetV2, "

# (architecture, a feature that must be there, ratio). The first that fits is taken, so the order matters.
_KNOWN: tuple[tuple[str, str, CountedRatio], ...] = (
    (
        "aarch64",
        "dotprod",
        CountedRatio(0.33, 1.5, _COUNTED + "0.200 (int8, dot product) against 0.601 (fp32)"),
    ),
    ("aarch64", "neon", CountedRatio(0.66, 1.5, _COUNTED + "0.398 (int8) against 0.601 (fp32)")),
    (
        "x86_64",
        "avx512vnni",
        CountedRatio(
            0.48,
            1.5,
            "ONNX Runtime's times for MobileNetV2 with 1 thread on a processor with AVX-512 VNNI, "
            "1.89 ms (int8) against 3.92 ms (fp32)",
        ),
    ),
)


def int8_ratio(target: Target) -> CountedRatio | None:
    """int8's time over fp32's on processors like ``target``'s; None where nothing was counted."""
    for arch, feature, known in _KNOWN:
        if target.cpu.arch == arch and feature in target.cpu.features:
            return known
    return None


@dataclass(frozen=True)
class CountedInstructions:
    """What ONNX Runtime executes for one multiply-add.

    Attributes:
        per_mac: the figure, between the two networks that were counted.
        how: what was counted.
    """

    per_mac: float
    how: str


# (architecture, a feature that must be there, in integers, figure); the first that fits is taken.
_ORT_INSTRUCTIONS: tuple[tuple[str, str, bool, CountedInstructions], ...] = (
    ("aarch64", "dotprod", True, CountedInstructions(
        0.197, "ONNX Runtime 1.31, emulated: 0.200 on MobileNetV2, 0.194 on EfficientNet-Lite0, int8")),
    ("aarch64", "neon", True, CountedInstructions(
        0.388, "ONNX Runtime 1.31, emulated: 0.398 on MobileNetV2, 0.379 on EfficientNet-Lite0, uint8")),
    ("aarch64", "neon", False, CountedInstructions(
        0.72, "ONNX Runtime 1.31, emulated: 0.601 on MobileNetV2, 0.837 on EfficientNet-Lite0, fp32")),
)  # fmt: skip


def ort_instructions(target: Target, integer: bool) -> CountedInstructions | None:
    """What ONNX Runtime executes for one multiply-add on processors like ``target``'s; None where nobody counted."""
    for arch, feature, of_integers, known in _ORT_INSTRUCTIONS:
        if target.cpu.arch == arch and feature in target.cpu.features and integer == of_integers:
            return known
    return None
