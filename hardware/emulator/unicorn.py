"""Run a target's library in this process, on an emulated processor, and count its instructions.

No operating system and no libc: the library is mapped, relocated and called, as its own loader would.
What comes out is a result and a count, never a time.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import BundleError, CheckError, MissingExtraError
from edgepress.hardware.emulator.counter import Counter, attach_counter
from edgepress.hardware.emulator.elf import Image, read_image
from edgepress.hardware.emulator.instructions import describe_instruction
from edgepress.hardware.emulator.layout import POINTERS_32, POINTERS_64, Layout
from edgepress.hardware.emulator.model_table import ModelTable, read_model_table
from edgepress.targets.description import Target

Array = np.ndarray[Any, Any]

_PAGE = 0x10000
_GUARD = 0x100000
_STACK = 1 << 20
_RETURN = 0x7000_0000
_LAYER = 0x7000_0100

DEFAULT_LIMIT = 200_000_000_000
"""Instructions after which a run is taken for endless: a hundred times a large network."""


@dataclass(frozen=True)
class Emulated:
    """What a run gave.

    Attributes:
        outputs: every output, in the model's order.
        instructions: how many instructions the run took, the executor's own included; repeats exactly.
        layers: name and instructions of each op, where they were asked for.
    """

    outputs: tuple[Array, ...]
    instructions: int
    layers: tuple[tuple[str, int], ...] = ()


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
        ("X0", "X1", "X2", "X3", "X4"), "X0", "PC", "SP", "LR", 4, bytes.fromhex("c0035fd6"),
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
        "UC_RISCV_REG_", ("A0", "A1", "A2", "A3", "A4"), "A0", "PC", "SP", "RA", 0, bytes.fromhex("67800000"),
    ),
    "x86": _Machine(
        "EM_X86_64", "UC_ARCH_X86", "UC_MODE_64", "unicorn.x86_const", "UC_CPU_X86_", "UC_X86_REG_",
        ("RDI", "RSI", "RDX", "RCX", "R8"), "RAX", "RIP", "RSP", "", 0, b"\xc3",
    ),
}  # fmt: skip


def emulate_library(
    library: bytes,
    weights: bytes | memoryview,
    inputs: Sequence[Array],
    target: Target,
    *,
    limit: int = DEFAULT_LIMIT,
    layers: bool = False,
) -> Emulated:
    """Run a library of :mod:`edgepress.targets.compilers.link` once.

    Args:
        library: the bytes of ``lib<name>.so``, or of a microcontroller's ``<name>.elf``.
        weights: the bytes of ``weights.bin``.
        inputs: one array an input, in the model's order, of its shape and type.
        target: the board; its ``toolchain.unicorn`` names the processor.
        limit: the run is ended as endless after about this many instructions.
        layers: also count each op (the count of the whole run then includes the calls that tell of layers).

    Raises:
        BundleError: the library is damaged, or is for another processor.
        CheckError: the run met an instruction that the board lacks, left its buffers, failed or did not end.
        MissingExtraError: unicorn or pyelftools is not installed.
    """
    machine = _MACHINES.get(target.toolchain.unicorn)
    if machine is None:
        raise CheckError(f"{target.name} has no processor that can be emulated in-process; use its qemu")
    run = _Run(machine, library, target, limit)
    try:
        return run.model(weights, inputs, layers=layers)
    except _Stopped as stop:
        where = stop.where
        if not layers and where is not None:
            # Once more with the executor telling of layers, to name the one that failed.
            again = _Run(machine, library, target, limit)
            try:
                again.model(weights, inputs, layers=True)
            except _Stopped as second:
                where = second.where
        raise CheckError(stop.sentence + (f" (in {where})" if where else "")) from None


class _Stopped(Exception):
    """The emulator stopped before the function returned."""

    def __init__(self, sentence: str, where: str | None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.where = where


class _Run:
    """One emulator with one library in it."""

    def __init__(self, machine: _Machine, library: bytes, target: Target, limit: int) -> None:
        try:
            self._unicorn: Any = importlib.import_module("unicorn")
        except ImportError:
            raise MissingExtraError("emulating a library", "unicorn", "build") from None
        self._machine = machine
        self._constants: Any = importlib.import_module(machine.constants)
        self._target = target
        self._limit = limit
        self._image: Image = read_image(library, machine.base)
        if self._image.machine != machine.elf:
            raise BundleError(
                f"the library is for {self._image.machine} and {target.name} is {machine.elf}; "
                "build the bundle again"
            )
        self._uc: Any = self._start()
        self._fault: int | None = None
        self._layer: str | None = None
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
        uc.mem_write(_LAYER, self._machine.return_code)
        self._stack = self._room(_STACK) + _STACK

    def _room(self, size: int) -> int:
        """Map ``size`` bytes that end where the mapping ends, so that the next byte cannot be touched."""
        whole = _round(max(size, 1), _PAGE)
        start = self._next
        if start < _RETURN < start + whole + _GUARD:
            raise CheckError(f"the model needs more memory than {self._target.name} has in the emulator")
        self._uc.mem_map(start, whole)
        self._next = start + whole + _GUARD
        return start + whole - _round(max(size, 1), 64)

    def _put(self, data: bytes | memoryview) -> int:
        address = self._room(len(data))
        if len(data):
            self._uc.mem_write(address, bytes(data))
        return address

    def model(self, weights: bytes | memoryview, inputs: Sequence[Array], *, layers: bool) -> Emulated:
        """Run the model once."""
        symbols = self._image.symbols
        if "ep_get_model" not in symbols or "ep_run" not in symbols:
            raise BundleError("the library does not have ep_get_model and ep_run; build the bundle again")
        layout, thumb = self._machine.layout, self._machine.thumb
        address = self._call(symbols["ep_get_model"], ())
        table = read_model_table(lambda at, count: bytes(self._read(at, count)), address, layout)
        self._check(table, weights, inputs)
        io = [self._put(np.ascontiguousarray(array).tobytes()) for array in inputs]
        io += [self._room(spec.bytes) for spec in table.outputs]
        sizes = [spec.bytes for spec in (*table.inputs, *table.outputs)]
        tensors = self._put(layout.tensors(io, sizes))
        arena = self._room(table.arena_bytes)
        state = self._put(layout.memory(self._put(weights), len(weights), arena, table.arena_bytes))
        hooks = self._put(layout.layer_hooks(_LAYER | thumb)) if layers else 0
        counter = attach_counter(self._unicorn, self._uc, self._machine.width, self._limit)
        counts: list[tuple[str, int]] = []
        if layers:
            self._watch_layers(table, counter, counts)
        status = self._call(symbols["ep_run"], (address, tensors, 0, state, hooks), counter) & 0xFFFFFFFF
        if status != 0:
            raise CheckError(
                f"the emulated model ended with status {status} of ep_run; build the bundle again"
            )
        outputs = tuple(
            np.frombuffer(bytes(self._read(at, spec.bytes)), spec.dtype).reshape(spec.shape)
            for at, spec in zip(io[len(table.inputs) :], table.outputs, strict=True)
        )
        return Emulated(outputs, counter.count, tuple(counts))

    def _check(self, table: ModelTable, weights: bytes | memoryview, inputs: Sequence[Array]) -> None:
        if len(weights) < table.weights_bytes:
            raise BundleError(
                f"the weights have {len(weights)} bytes and the model needs {table.weights_bytes}"
            )
        if len(inputs) != len(table.inputs):
            raise CheckError(f"the model has {len(table.inputs)} inputs and {len(inputs)} were given")
        for array, spec in zip(inputs, table.inputs, strict=True):
            if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
                raise CheckError(
                    f"the input {spec.name} is {spec.dtype} {spec.shape}, "
                    f"and {array.dtype} {array.shape} was given"
                )

    def _watch_layers(self, table: ModelTable, counter: Counter, counts: list[tuple[str, int]]) -> None:
        index, done = self._register(self._machine.arguments[1]), self._register(self._machine.arguments[3])
        begun = 0

        def told(uc: Any, at: int, size: int, data: Any) -> None:
            nonlocal begun
            op = int(uc.reg_read(index)) & 0xFFFFFFFF
            name = table.layers[op] if op < len(table.layers) else f"op {op}"
            if int(uc.reg_read(done)) & 0xFFFFFFFF:
                counts.append((name, counter.count - begun))
                self._layer = None
            else:
                self._layer = name
                begun = counter.count

        self._uc.hook_add(self._unicorn.UC_HOOK_CODE, told, begin=_LAYER, end=_LAYER)

    def _read(self, address: int, count: int) -> bytearray:
        try:
            data: bytearray = self._uc.mem_read(address, count)
        except self._unicorn.UcError:
            raise BundleError(
                "a table of the model lies outside the library; build the bundle again"
            ) from None
        return data

    def _call(self, offset: int, arguments: Sequence[int], counter: Counter | None = None) -> int:
        uc, machine = self._uc, self._machine
        for name, value in zip(machine.arguments, arguments, strict=False):
            uc.reg_write(self._register(name), value)
        stack = self._stack - 64
        uc.mem_write(stack, machine.layout.words(arguments[len(machine.arguments) :]))
        if machine.lr:
            uc.reg_write(self._register(machine.lr), _RETURN | machine.thumb)
        else:
            stack -= 8
            uc.mem_write(stack, struct.pack("<Q", _RETURN))
        uc.reg_write(self._register(machine.sp), stack)
        try:
            uc.emu_start(self._base + offset, _RETURN)
        except self._unicorn.UcError as error:
            raise self._explain(error) from None
        if counter is not None and counter.count > self._limit:
            raise _Stopped(f"the emulated model did not end within {self._limit} instructions", self._place())
        return int(uc.reg_read(self._register(machine.result)))

    def _place(self) -> str | None:
        offset = int(self._uc.reg_read(self._register(self._machine.pc))) - self._base
        function = self._image.function_at(offset)
        return f"layer {self._layer}" if self._layer else function or f"the library at {offset:#x}"

    def _explain(self, error: Any) -> _Stopped:
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
            return _Stopped(
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
            return _Stopped(
                f"{self._target.name} ({self._target.cpu.model}) does not have the instruction {said} at "
                f"{pc - self._base:#x} of the library; build for this board",
                self._place(),
            )
        return _Stopped(f"the emulator stopped: {error}", self._place())


def _round(size: int, step: int) -> int:
    return -(-size // step) * step
