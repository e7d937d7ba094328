"""Which extension an Arm instruction belongs to, for telling what a board lacks."""

from __future__ import annotations

from typing import NamedTuple


class _Pattern(NamedTuple):
    mask: int
    value: int
    name: str
    extension: str


# Arm Architecture Reference Manual (DDI 0487), section C4.1, "A64 instruction set encoding".
_AARCH64 = (
    _Pattern(0xBFE0FC00, 0x0E809400, "sdot", "dotprod"),
    _Pattern(0xBFE0FC00, 0x2E809400, "udot", "dotprod"),
    _Pattern(0xBFC0F400, 0x0F80E000, "sdot (by element)", "dotprod"),
    _Pattern(0xBFC0F400, 0x2F80E000, "udot (by element)", "dotprod"),
    _Pattern(0xBFE0FC00, 0x0E809C00, "usdot", "i8mm"),
    _Pattern(0xBFC0F400, 0x0F80F000, "usdot (by element)", "i8mm"),
    _Pattern(0xBFC0F400, 0x0F00F000, "sudot (by element)", "i8mm"),
    _Pattern(0xFFE0FC00, 0x4E80A400, "smmla", "i8mm"),
    _Pattern(0xFFE0FC00, 0x6E80A400, "ummla", "i8mm"),
    _Pattern(0xFFE0FC00, 0x4E80AC00, "usmmla", "i8mm"),
    _Pattern(0xBFE0FC00, 0x2E40FC00, "bfdot", "bf16"),
    _Pattern(0xFFE0FC00, 0x6E40EC00, "bfmmla", "bf16"),
    _Pattern(0xBFA0FC00, 0x0E20EC00, "fmlal", "fp16fml"),
    _Pattern(0x9F60C400, 0x0E400400, "half-precision vector arithmetic", "fullfp16"),
    _Pattern(0xFFE00000, 0x1EE00000, "half-precision arithmetic", "fullfp16"),
    _Pattern(0xBF20FC00, 0x2E008400, "sqrdmlah", "rdm"),
    _Pattern(0xFFFFCC00, 0x4E284800, "aese or its kin", "crypto"),
    _Pattern(0x3F200C00, 0x38200000, "an atomic read-modify-write", "lse"),
    _Pattern(0x3FA07C00, 0x08A07C00, "cas", "lse"),
    _Pattern(0x1E000000, 0x04000000, "a scalable vector instruction", "sve"),
)


def describe_instruction(machine: str, code: bytes) -> str:
    """One instruction in words: ``sdot (dotprod), 4e829420``, or its bytes where it is not in the table.

    Args:
        machine: the processor by its ELF name, such as ``EM_AARCH64``.
        code: the instruction's bytes as they lie in memory.
    """
    if machine == "EM_AARCH64" and len(code) >= 4:
        word = int.from_bytes(code[:4], "little")
        for pattern in _AARCH64:
            if word & pattern.mask == pattern.value:
                return f"{pattern.name} ({pattern.extension}), {word:08x}"
        return f"{word:08x}"
    return code.hex(" ")
