"""What operating systems call a processor's features, and what LLVM calls them."""

from __future__ import annotations

from edgepress.targets.description import Cpu, Target

# The levels of the x86-64 psABI, in LLVM's names; each includes the one before.
_V2 = frozenset({"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"}
_V4 = _V3 | {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"}
_BEYOND = frozenset({"avx512vnni", "avxvnni", "avx512bf16", "avx512vbmi", "avx512vbmi2", "gfni"})

# Linux (and, in lower case with '_' for '.', macOS) against LLVM, where the two differ.
_X86_NAMES = {
    "abm": "lzcnt",
    "lzcnt": "lzcnt",
    "avx512_bf16": "avx512bf16",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_vnni": "avx512vnni",
    "avx_vnni": "avxvnni",
    "bmi1": "bmi",
    "lahf_lm": "sahf",
    "lahf": "sahf",
    "pni": "sse3",
    "sse3": "sse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
}
_ARM_NAMES = {
    "asimd": "neon",
    "asimddp": "dotprod",
    "asimdhp": "fullfp16",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "crc32": "crc",
}

# (implementer, part) of MIDR_EL1, as Arm's technical reference manuals give them, to LLVM's names.
ARM_PARTS = {
    (0x41, 0xD03): "cortex-a53",
    (0x41, 0xD04): "cortex-a35",
    (0x41, 0xD05): "cortex-a55",
    (0x41, 0xD07): "cortex-a57",
    (0x41, 0xD08): "cortex-a72",
    (0x41, 0xD09): "cortex-a73",
    (0x41, 0xD0A): "cortex-a75",
    (0x41, 0xD0B): "cortex-a76",
    (0x41, 0xD0C): "neoverse-n1",
    (0x41, 0xD0D): "cortex-a77",
    (0x41, 0xD41): "cortex-a78",
    (0x41, 0xD42): "cortex-a78ae",
    (0x41, 0xD40): "neoverse-v1",
    (0x41, 0xD49): "neoverse-n2",
}


# The first ONNX Runtime whose two-bit products were measured to be faster than those of eight bits.
_TWO_BIT_RUNTIME = (1, 31)


def x86_features(flags: str) -> tuple[str, ...]:
    """LLVM's names, sorted, of those flags that code generation cares about."""
    names = {_X86_NAMES.get(flag, flag) for flag in flags.split()}
    return tuple(sorted(names & (_V4 | _BEYOND)))


def x86_level(features: tuple[str, ...]) -> str:
    """The highest x86-64 level that ``features`` reach, such as ``x86-64-v3``."""
    for name, needed in (("x86-64-v4", _V4), ("x86-64-v3", _V3), ("x86-64-v2", _V2)):
        if needed <= set(features):
            return name
    return "x86-64"


def arm_features(names: str) -> tuple[str, ...]:
    """LLVM's names, sorted, of the features that Linux lists for a 64-bit Arm processor."""
    return tuple(sorted({_ARM_NAMES[one] for one in names.split() if one in _ARM_NAMES}))


def saturates(cpu: Cpu) -> bool:
    """Whether ONNX Runtime's int8 products saturate on this processor.

    Without VNNI an x86 processor adds two products of eight bits in 16, which full-range weights overflow;
    weights of seven bits do not.
    """
    return cpu.arch == "x86_64" and not {"avx512vnni", "avxvnni"} & set(cpu.features)


def takes_two_bits(target: Target) -> bool:
    """Whether the target's ONNX Runtime multiplies two-bit weights in integers; elsewhere it does so in float."""
    version = target.runtime.onnxruntime.split(".")
    known = all(part.isdigit() for part in version) and tuple(map(int, version)) >= _TWO_BIT_RUNTIME
    fast = {"x86_64": "avx512vnni", "aarch64": "dotprod"}.get(target.cpu.arch, "")
    return bool(known and fast in target.cpu.features)
