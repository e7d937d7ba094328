"""Steps to machine code: each distinct kernel once, in one module, behind raw pointers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import s_tir, tirx

from edgepress.bundle.layers import OWN_KERNELS
from edgepress.errors import CompileError
from edgepress.targets.compilers.tvm.csource import exact_constants, freestanding
from edgepress.targets.compilers.tvm.expressions import dtype_of, shape_of
from edgepress.targets.compilers.tvm.groups import by_group
from edgepress.targets.compilers.tvm.kernel import Body, Frame
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.mathematics import vector_mathematics
from edgepress.targets.compilers.tvm.opaque import opaque_kernel
from edgepress.targets.compilers.tvm.parts import most_parts
from edgepress.targets.compilers.tvm.program import Program, Step
from edgepress.targets.compilers.tvm.schedule import schedule
from edgepress.targets.compilers.tvm.schedule.contraction import multiplies
from edgepress.targets.compilers.tvm.schedule.raw import Made
from edgepress.targets.compilers.tvm.schedule.whole import is_whole, macs_of, whole_kernel
from edgepress.targets.compilers.tvm.stages import INPUTS, MACS
from edgepress.targets.description import Target

# Without them one register is kept for each address of a tile, and pairs of loads fall apart.
_AARCH64_OPTIONS = ("-disable-lsr:bool=true", "-aarch64-enable-gep-opt:bool=true")


@dataclass(frozen=True)
class Kernel:
    """One compiled function.

    Attributes:
        symbol: its name.
        pointers: how many it takes.
        extent: what parts divide.
        dtypes: what the pointers lead to.
        family, tile, shape, tuned: of :class:`edgepress.bundle.layers.KernelLayer`.
    """

    symbol: str
    pointers: int
    extent: int
    dtypes: tuple[str, ...]
    family: str
    tile: str = ""
    shape: str = ""
    tuned: bool = False


@dataclass(frozen=True)
class KernelCall:
    """A call of a kernel on numbered values.

    Attributes:
        kernel: the kernel's place in the list.
        arguments: the values.
        macs: multiply-accumulates that it stands for.
        operations: two for each multiply-accumulate that is done; where none is, one for each element.
        elements: elements that it computes, or takes into a sum.
        parts: the most that it is worth dividing into.
    """

    kernel: int
    arguments: tuple[int, ...]
    macs: int
    operations: int
    elements: int
    parts: int


def tvm_target(target: Target) -> Any:
    """The target as TVM's code generator wants it."""
    if target.toolchain.code == "c":
        return tvm.target.Target({"kind": "c"})
    settings: dict[str, Any] = {
        "kind": "llvm",
        "mtriple": target.toolchain.llvm_triple,
        "mcpu": target.cpu.model,
    }
    if target.cpu.features:
        settings["mattr"] = [f if f[0] in "+-" else f"+{f}" for f in target.cpu.features]
    if target.cpu.arch == "aarch64":
        settings["cl-opt"] = list(_AARCH64_OPTIONS)
    if target.toolchain.llvm_abi:
        settings["mabi"] = target.toolchain.llvm_abi
    return tvm.target.Target(settings)


def lower(program: Program, machine: Machine) -> tuple[list[Kernel], list[Any], list[KernelCall]]:
    """The distinct kernels, their PrimFuncs, and the calls in order."""
    kernels: list[Kernel] = []
    functions: list[Any] = []
    calls: list[KernelCall] = []
    by_hash: dict[int, list[int]] = {}
    done: dict[Any, tuple[int, list[Any], dict[Any, np.ndarray]]] = {}
    for step in program.steps:
        key = step.nest.stage.buffer if step.nest is not None else step.opaque
        if key not in done:
            func, buffers, body, dtypes, numbers = _function(step, machine)
            digest = tvm_hash(func)
            index = next(
                (i for i in by_hash.get(digest, []) if tvm_ffi.structural_equal(functions[i], func)), None
            )
            if index is None:
                index = len(kernels)
                kernels.append(
                    Kernel(
                        f"ep_k{index}",
                        len(buffers),
                        body.extent,
                        dtypes,
                        body.family,
                        body.tile,
                        body.shape,
                        body.tuned,
                    )
                )
                functions.append(func)
                by_hash.setdefault(digest, []).append(index)
            done[key] = (index, buffers, numbers)
        index, buffers, numbers = done[key]
        arguments = [step.arguments[buffer] for buffer in buffers if buffer in step.arguments]
        if step.nest is None:
            arguments += _own(program, buffers[len(arguments) :], numbers)
        places = tuple(program.root(argument) for argument in arguments)
        macs, elements = _macs(step), _elements(step, program)
        moved = sum(program.values[number].bytes for number in set(places))
        parts = most_parts(kernels[index].extent, kernels[index].dtypes, macs, moved, machine)
        operations = _operations(step, macs) or elements
        calls.append(KernelCall(index, places, macs, operations, elements, parts))
    return kernels, functions, calls


def tvm_hash(func: Any) -> int:
    """A structural hash, equal for kernels that differ in names alone."""
    return int(tvm_ffi.structural_hash(func))


def _own(program: Program, buffers: list[Any], numbers: dict[Any, np.ndarray]) -> list[int]:
    """Values for what a kernel has beside its step's: numbers that it reads, and temporaries."""
    values = []
    for buffer in buffers:
        values.append(program.value(shape_of(buffer), dtype_of(buffer)))
        if buffer in numbers:
            program.constants[values[-1]] = numbers[buffer]
    return values


def _function(step: Step, machine: Machine) -> Made:
    if step.nest is None and is_whole(step.opaque):
        return whole_kernel(step.opaque, machine)
    if step.nest is None:
        func, buffers, dtypes = opaque_kernel(step.opaque)
        return func, buffers, Body(None, 1, family=OWN_KERNELS), dtypes, {}
    nest = by_group(step.nest)
    frame = Frame(nest)
    body = schedule(nest, frame, machine)
    return frame.function(body), frame.buffers, body, tuple(dtype_of(b) for b in frame.buffers), {}


def _macs(step: Step) -> int:
    if step.nest is None and is_whole(step.opaque):
        return macs_of(step.opaque)
    anchor = step.nest.anchor if step.nest is not None else None
    if anchor is not None and MACS in anchor.notes:
        return int(anchor.notes[MACS])
    if anchor is None or not multiplies(anchor):
        return 0
    if INPUTS in anchor.notes:
        return anchor.trips // anchor.reduction[-1].extent * int(anchor.notes[INPUTS])
    return anchor.trips


def _operations(step: Step, macs: int) -> int:
    """Fewer than two for each multiply-accumulate that a kernel stands for where it does fewer."""
    anchor = step.nest.anchor if step.nest is not None else None
    if anchor is None or MACS not in anchor.notes:
        return 2 * macs
    return 2 * anchor.trips if macs else math.prod(axis.extent for axis in anchor.spatial)


def _elements(step: Step, program: Program) -> int:
    if step.nest is None:
        return max(math.prod(program.values[value].shape) for value in step.arguments.values())
    return step.nest.anchor.trips if step.nest.anchor is not None else step.nest.stage.trips


def generate(functions: list[Any], kernels: list[Kernel], target: Target, out: Path) -> Path:
    """Write ``kernels.o`` or ``kernels.c``; the path.

    Raises:
        CompileError: the code generator refuses a kernel.
    """
    machine_target = tvm_target(target)
    named = {
        kernel.symbol: func.with_attrs({"global_symbol": kernel.symbol, "target": machine_target})
        for kernel, func in zip(kernels, functions, strict=True)
    }
    c_source = target.toolchain.code == "c"
    passes = tvm.transform.Sequential(
        [
            tirx.transform.ConvertSSA(),
            tirx.transform.VectorizeLoop(True),
            tirx.transform.UnrollLoop(),
            tirx.transform.StmtSimplify(),
            tirx.transform.RemoveNoOp(),
            s_tir.transform.RewriteUnsafeSelect(),
        ]
    )
    try:
        with tvm.transform.PassContext(opt_level=3), machine_target:
            module = passes(tvm.IRModule(named))
            if not c_source:
                module = tvm.IRModule(
                    {
                        var.name_hint: vector_mathematics(func, target.cpu.arch)
                        for var, func in module.functions_items()
                    }
                )
            module = tirx.transform.LowerIntrin()(module)
            if c_source:
                module = tvm.IRModule(
                    {var.name_hint: exact_constants(func) for var, func in module.functions_items()}
                )
            built = tvm.get_global_func("target.build." + ("c" if c_source else "llvm"))(
                module, machine_target
            )
        path = out / ("kernels.c" if c_source else "kernels.o")
        if c_source:
            path.write_text(freestanding(built.inspect_source()))
        else:
            built.write_to_file(str(path))
    except Exception as error:
        lines = str(error).strip().splitlines() or ["no message"]
        raise CompileError(
            f"TVM could not make code for {target.name}: {lines[-1][:300]}; try the ort engine"
        ) from error
    return path
