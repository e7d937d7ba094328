"""What a schedule needs to know of a processor, drawn from its description."""

from __future__ import annotations

from dataclasses import dataclass

from edgepress.targets.description import Target


@dataclass(frozen=True)
class Machine:
    """The processor as schedules see it.

    Attributes:
        lanes: fp32 elements of one vector register; 1 where code is scalar.
        registers: how many vector registers there are.
        by_element: whether a multiply-add takes one lane of a register as its scalar operand.
        dot: the instruction that sums neighbouring products of eight-bit numbers: ``"sdot"`` or
            ``"vpdpbusd"`` (four), ``"vpmaddwd"`` or ``"smull"`` (two, by way of 16 bits), or empty.
        arch: the target's architecture.
        c_source: whether C source is made instead of object code: the C compiler finds the vectors.
    """

    lanes: int
    registers: int
    by_element: bool
    dot: str
    arch: str
    c_source: bool

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
        dot = "vpdpbusd" if four in features else "vpmaddwd"
    registers = cpu.vector_registers or (32 if cpu.arch in ("aarch64", "riscv64") else 16)
    return Machine(lanes, registers, cpu.arch == "aarch64" and lanes > 1, dot, cpu.arch, c_source)
