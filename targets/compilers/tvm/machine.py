"""What a schedule needs to know of a processor, drawn from its description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgepress.targets.description import Target, Tiles
from edgepress.targets.tiles import tiles_of


@dataclass(frozen=True)
class Machine:
    """The processor as schedules see it.

    Attributes:
        lanes: fp32 elements of one vector register; 1 where code is scalar.
        registers: how many vector registers there are.
        by_element: whether a multiply-add takes one lane of a register as its scalar operand.
        dot: the best instruction that sums neighbouring products of eight-bit numbers: ``"sdot"`` or
            ``"vpdpbusd"`` (four), ``"vpmaddubsw"``, ``"vpmaddwd"`` or ``"smull"`` (two, by way of
            16 bits), or empty.
        look_up: how bytes are looked up in a table that lies in registers: ``"vbmi"`` (AVX-512's permutation
            of 128 bytes), ``"pshufb"``, ``"tbl"`` (Arm's four registers), or empty.
        fused: whether a multiply-add that rounds once is an instruction.
        arch: the target's architecture.
        c_source: whether C source is made instead of object code: the C compiler finds the vectors.
        given: tiles that the board's file chooses.
        tuned: rows that were measured to be best for single kernels, by their shape and the rule's tile.
        memory: main memory in bytes; None where unknown.
        last_cache: bytes of the largest cache; None where unknown.
    """

    lanes: int
    registers: int
    by_element: bool
    dot: str
    look_up: str
    fused: bool
    arch: str
    c_source: bool
    given: Tiles = field(default_factory=Tiles)
    tuned: Mapping[str, int] = field(default_factory=dict)

    memory: int | None = None
    last_cache: int | None = None

    @property
    def winograd(self) -> bool:
        """Whether vectors are wide enough for Winograd's transforms."""
        return self.lanes >= 4 and not self.c_source

    @property
    def tiles(self) -> Tiles:
        """Every tile: those given, and the rule's."""
        return tiles_of(self.lanes, self.registers, self.by_element, self.given)

    @property
    def depth(self) -> int:
        """How many products of eight-bit numbers an instruction adds up in each fp32-sized lane."""
        return {"sdot": 4, "vpdpbusd": 4, "vpmaddwd": 2, "smull": 2}.get(self.dot, 1)


def machine_of(target: Target) -> Machine:
    """The machine that a target's schedules are made for."""
    cpu = target.cpu
    c_source = target.toolchain.code == "c"
    lanes = 1 if c_source else max(1, min(cpu.vector_bits, 512) // 32)
    features = {feature.lstrip("+") for feature in cpu.features}
    dot = ""
    if lanes == 1:
        pass
    elif cpu.arch == "aarch64":
        dot = "sdot" if "dotprod" in features else "smull"
    elif cpu.arch == "x86_64":
        four = {16: "avx512vnni", 8: "avxvnni"}.get(lanes, "")
        two = "vpmaddubsw" if "ssse3" in features else "vpmaddwd"
        dot = "vpdpbusd" if four in features else two
    look_up = ""
    if lanes > 1 and cpu.arch == "aarch64":
        look_up = "tbl"
    elif cpu.arch == "x86_64" and lanes in (8, 16):
        look_up = "vbmi" if lanes == 16 and "avx512vbmi" in features else "pshufb"
    fused = cpu.arch == "aarch64" or bool(features & {"fma", "avx512f"})
    registers = cpu.vector_registers or (32 if cpu.arch in ("aarch64", "riscv64") else 16)
    by_element = cpu.arch == "aarch64" and lanes > 1
    cache = max((size for size in (cpu.cache.l1d, cpu.cache.l2, cpu.cache.l3) if size), default=None)
    return Machine(
        lanes, registers, by_element, dot, look_up, fused, cpu.arch, c_source,
        memory=target.memory_bytes, last_cache=cache,
    )  # fmt: skip


def with_tiles(machine: Machine, target: Target, tuned: Mapping[str, int]) -> Machine:
    """The machine with the tiles that the board's file chooses, and those that were measured."""
    return replace(machine, given=target.kernels or Tiles(), tuned=dict(tuned))
