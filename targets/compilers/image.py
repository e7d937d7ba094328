"""Where a microcontroller's code is linked when it is to be checked here: as one program for an emulator.

The image never ships: a firmware project compiles the C sources, or links the archive, at its own addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgepress.targets.compilers.zig import CCompiler
from edgepress.targets.description import Target

START = ("ep_bare.c",)


@dataclass(frozen=True)
class Memory:
    """RAM that code may run from, in the boards that QEMU emulates.

    Attributes:
        start: the first address.
        bytes: how much there is from there on.
    """

    start: int
    bytes: int


def image_memory(target: Target) -> Memory:
    """The RAM for a target's image: of QEMU's mps3-an547 for a Cortex-M55, else of its mps2-an500.

    The AN547 starts in the secure state, in which its memory is to be used 256 MiB higher.
    """
    if target.cpu.model == "cortex-m55":
        return Memory(0x7000_0000, 256 << 20)
    return Memory(0x6000_0000, 16 << 20)


def start_flags(target: Target) -> tuple[str, ...]:
    """What the start-up code has to know: where memory ends."""
    memory = image_memory(target)
    return (f"-DEP_MEMORY_END={memory.start + memory.bytes:#x}u",)


def image_command(
    compiler: CCompiler, target: Target, objects: list[str], result: str, more: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Link objects, the start-up code among them, at a fixed address, with the compiler's own helpers.

    Args:
        more: functions to keep, beside those that run the model.
    """
    start = image_memory(target).start
    if compiler.name == "ziglang":
        place: tuple[str, ...] = (f"-Wl,--image-base={start:#x}",)
        helpers: tuple[str, ...] = ()
    else:
        place = ("-nostdlib", f"-Wl,-Ttext-segment={start:#x}", "-Wl,--build-id=none")
        helpers = ("-lgcc",)
    keep = ("-Wl,--gc-sections", *(f"-Wl,-u,{name}" for name in ("ep_get_model", "ep_run", *more)))
    return (*compiler.cc, "-O3", *keep, *place, *objects, *helpers, "-o", result)
