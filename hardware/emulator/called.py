"""A target's library in this process, on an emulated processor: mapped, relocated, and called as its loader would.

No operating system and no libc. What comes out is results and counts, never a time.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgepress.errors import BundleError, CheckError, MissingExtraError
from edgepress.hardware.emulator.counter import Counter, attach_counter
from edgepress.hardware.emulator.elf import Image, read_image
from edgepress.hardware.emulator.instructions import describe_instruction
from edgepress.hardware.emulator.layout import POINTERS_32, POINTERS_64, Layout
from edgepress.targets.description import Target

_PAGE = 0x10000
_GUARD = 0x100000
_STACK = 1 << 20
_RETURN = 0x7000_0000
_TOLD = 0x7000_0100

DEFAULT_LIMIT = 200_000_000_000
"""Instructions after which a run is taken for endless: a hundred times a large network."""


@dataclass(frozen=True)
class _Machine:
    """How one processor is called.

    ``width`` is the bytes of an instruction, 0 where they vary. ``base`` is where the library lies, which for
    a microcontroller is where its image was linked. ``thumb`` is 1 where the
    lowest bit of a function's address is set.
    """

    elf: str
    arch: str
    mode: str
    constants: str
    cpu: str
    register: str
    arguments: tuple[str, ...]
    result: str
    pc: str
    sp: str
    lr: str
    width: int
    return_code: bytes
    layout: Layout = POINTERS_64
    base: int = 0x1_0000_0000
    thumb: int = 0


_MACHINES = {
    "arm64": _Machine(
        "EM_AARCH64", "UC_ARCH_ARM64", "UC_MODE_ARM", "unicorn.arm64_const", "UC_CPU_ARM64_", "UC_ARM64_REG_",
        tuple(f"X{k}" for k in range(8)), "X0", "PC", "SP", "LR", 4, bytes.fromhex("c0035fd6"),
    ),
    # Not UC_MODE_MCLASS: with it unicorn 2.1.4 gives every model the features of one without doubles. The M
    # profile starts with its floating-point unit on here.
    "arm": _Machine(
        "EM_ARM", "UC_ARCH_ARM", "UC_MODE_THUMB", "unicorn.arm_const", "UC_CPU_ARM_", "UC_ARM_REG_",
        ("R0", "R1", "R2", "R3"), "R0", "PC", "SP", "LR", 0, bytes.fromhex("7047"),
        POINTERS_32, 0x6000_0000, 1,
    ),
    "riscv64": _Machine(
        "EM_RISCV", "UC_ARCH_RISCV", "UC_MODE_RISCV64", "unicorn.riscv_const", "UC_CPU_RISCV64_",
        "UC_RISCV_REG_", tuple(f"A{k}" for k in range(8)), "A0", "PC", "SP", "RA", 0, bytes.fromhex("67800000"),
    ),
    "x86": _Machine(
        "EM_X86_64", "UC_ARCH_X86", "UC_MODE_64", "unicorn.x86_const", "UC_CPU_X86_", "UC_X86_REG_",
        ("RDI", "RSI", "RDX", "RCX", "R8", "R9"), "RAX", "RIP", "RSP", "", 0, b"\xc3",
    ),
}  # fmt: skip


class Stopped(Exception):
    """The emulator stopped before the function returned.

    Attributes:
        sentence: why.
        where: in which layer or function; None where that is not known.
    """

    def __init__(self, sentence: str, where: str | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.where = where

    def error(self) -> CheckError:
        """The error that says so."""
        return CheckError(self.sentence + (f" (in {self.where})" if self.where else ""))


class Called:
    """One emulator with one library in it.

    Args:
        library: the bytes of ``lib<name>.so``, or of a microcontroller's ``<name>.elf``.
        target: the board; its ``toolchain.unicorn`` names the processor.
        limit: a call is ended as endless after about this many instructions.

    Raises:
        BundleError: the library is damaged, or is for another processor.
        CheckError: the board's processor cannot be emulated here.
        MissingExtraError: unicorn or pyelftools is not installed.
    """

    def __init__(self, library: bytes, target: Target, limit: int = DEFAULT_LIMIT) -> None:
        machine = _MACHINES.get(target.toolchain.unicorn)
        if machine is None:
            raise CheckError(f"{target.name} has no processor that can be emulated in-process; use its qemu")
        try:
            self._unicorn: Any = importlib.import_module("unicorn")
        except ImportError:
            raise MissingExtraError("emulating a library", "unicorn", "build") from None
        self._machine = machine
        self._constants: Any = importlib.import_module(machine.constants)
        self._target = target
        self._limit = limit
        self._counter: Counter | None = None
        self._image: Image = read_image(library, machine.base)
        if self._image.machine != machine.elf:
            raise BundleError(
                f"the library is for {self._image.machine} and {target.name} is {machine.elf}; "
                "build the bundle again"
            )
        self._uc: Any = self._start()
        self._fault: int | None = None
        self.layer: str | None = None
        self._base = machine.base
        if self._base < _RETURN < self._base + self._image.size + _GUARD:
            raise BundleError("the image lies elsewhere than the emulator expects; build the bundle again")
        self._next = self._base + _round(self._image.size, _PAGE) + _GUARD
        self._place_image()

    def _register(self, name: str) -> int:
        return int(getattr(self._constants, self._machine.register + name))

    def _start(self) -> Any:
        unicorn, machine = self._unicorn, self._machine
        uc = unicorn.Uc(getattr(unicorn, machine.arch), getattr(unicorn, machine.mode))
        name = self._target.toolchain.unicorn_cpu
        if name:
            model = getattr(self._constants, machine.cpu + name, None)
            if model is None:
                raise CheckError(
                    f"unicorn knows no processor {name!r}; correct unicorn_cpu of {self._target.name}"
                )
            uc.ctl_set_cpu_model(model)
        if machine.elf == "EM_AARCH64":
            uc.reg_write(self._register("CPACR_EL1"), 3 << 20)  # floating point and NEON do not trap
        if machine.elf == "EM_RISCV":
            status = uc.reg_read(self._register("MSTATUS"))
            uc.reg_write(self._register("MSTATUS"), status | 0x6000)  # FS: floating point is on
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_fault)
        return uc

    def _note_fault(self, uc: Any, access: int, address: int, size: int, value: int, data: Any) -> bool:
        self._fault = address
        return False

    def _place_image(self) -> None:
        uc, image = self._uc, self._image
        uc.mem_map(self._base, _round(image.size, _PAGE))
        for segment in image.segments:
            uc.mem_write(self._base + segment.address, segment.data)
        for offset, value in image.fixups:
            uc.mem_write(self._base + offset, struct.pack("<Q", value))
        uc.mem_map(_RETURN, _PAGE)
        uc.mem_write(_TOLD, self._machine.return_code)
        self._stack = self.room(_STACK) + _STACK

    def room(self, size: int) -> int:
        """The address of ``size`` new bytes that end where their mapping does: the next one cannot be touched."""
        whole = _round(max(size, 1), _PAGE)
        start = self._next
        if start < _RETURN < start + whole + _GUARD:
            raise CheckError(f"the model needs more memory than {self._target.name} has in the emulator")
        self._uc.mem_map(start, whole)
        self._next = start + whole + _GUARD
        return start + whole - _round(max(size, 1), 64)

    def put(self, data: bytes | memoryview) -> int:
        """The address of new memory that holds ``data``."""
        address = self.room(len(data))
        if len(data):
            self._uc.mem_write(address, bytes(data))
        return address

    def read(self, address: int, count: int) -> bytes:
        """What lies at an address."""
        try:
            data = bytes(self._uc.mem_read(address, count))
        except self._unicorn.UcError:
            raise BundleError(
                "a table of the model lies outside the library; build the bundle again"
            ) from None
        return data

    @property
    def layout(self) -> Layout:
        """How structures lie in its memory."""
        return self._machine.layout

    def has(self, *names: str) -> bool:
        """Whether the library has all these functions."""
        return all(name in self._image.symbols for name in names)

    def counter(self) -> Counter:
        """The count of what is executed since it was first asked for; beyond the limit calls end."""
        if self._counter is None:
            self._counter = attach_counter(self._unicorn, self._uc, self._machine.width, self._limit)
        return self._counter

    def tell(self, told: Callable[[Callable[[int], int]], None]) -> int:
        """Place a function that does nothing but have Python told of each of its calls.

        Args:
            told: is given what gives the call's arguments by number.

        Returns:
            The function's address.
        """
        names = self._machine.arguments

        def hook(uc: Any, at: int, size: int, data: Any) -> None:
            told(lambda number: int(uc.reg_read(self._register(names[number]))) & 0xFFFFFFFF)

        self._uc.hook_add(self._unicorn.UC_HOOK_CODE, hook, begin=_TOLD, end=_TOLD)
        return _TOLD | self._machine.thumb

    def call(self, name: str, *arguments: int) -> int:
        """Call a function of the library.

        Args:
            arguments: numbers and addresses; :class:`~edgepress.hardware.emulator.layout.Wide` those of 64 bits.

        Returns:
            What the register of results holds.

        Raises:
            Stopped: the emulator stopped before the function returned.
        """
        uc, machine = self._uc, self._machine
        words = machine.layout.arguments(arguments)
        for register, value in zip(machine.arguments, words, strict=False):
            uc.reg_write(self._register(register), value)
        stack = self._stack - 64
        uc.mem_write(stack, machine.layout.words(words[len(machine.arguments) :]))
        if machine.lr:
            uc.reg_write(self._register(machine.lr), _RETURN | machine.thumb)
        else:
            stack -= 8
            uc.mem_write(stack, struct.pack("<Q", _RETURN))
        uc.reg_write(self._register(machine.sp), stack)
        try:
            uc.emu_start(self._base + self._image.symbols[name], _RETURN)
        except self._unicorn.UcError as error:
            raise self._explain(error) from None
        if self._counter is not None and self._counter.count > self._limit:
            raise Stopped(f"the emulated model did not end within {self._limit} instructions", self._place())
        return int(uc.reg_read(self._register(machine.result)))

    def _place(self) -> str | None:
        offset = int(self._uc.reg_read(self._register(self._machine.pc))) - self._base
        function = self._image.function_at(offset)
        return f"layer {self.layer}" if self.layer else function or f"the library at {offset:#x}"

    def _explain(self, error: Any) -> Stopped:
        unicorn = self._unicorn
        pc = int(self._uc.reg_read(self._register(self._machine.pc)))
        if self._fault is not None:
            kind = (
                "writes"
                if error.errno in (unicorn.UC_ERR_WRITE_UNMAPPED, unicorn.UC_ERR_WRITE_PROT)
                else "reads"
            )
            if error.errno in (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT):
                kind = "jumps to"
            return Stopped(
                f"the emulated model {kind} {self._fault:#x}, which is in none of its buffers; "
                "this is a fault of the compiler, use another engine",
                self._place(),
            )
        if error.errno in (unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION):
            try:
                code = bytes(self._uc.mem_read(pc, 4))
            except unicorn.UcError:
                code = b""
            said = describe_instruction(self._machine.elf, code)
            return Stopped(
                f"{self._target.name} ({self._target.cpu.model}) does not have the instruction {said} at "
                f"{pc - self._base:#x} of the library; build for this board",
                self._place(),
            )
        return Stopped(f"the emulator stopped: {error}", self._place())


def _round(size: int, step: int) -> int:
    return -(-size // step) * step
