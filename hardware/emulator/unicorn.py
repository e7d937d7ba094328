"""Run a target's library in this process, on an emulated processor, and count its instructions.

No operating system and no libc: the library is mapped, relocated and called, as its own loader would.
What comes out is a result and a count, never a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import BundleError, CheckError
from edgepress.hardware.emulator.called import DEFAULT_LIMIT, Called, Stopped
from edgepress.hardware.emulator.counter import Counter
from edgepress.hardware.emulator.model_table import ModelTable, read_model_table
from edgepress.targets.description import Target

Array = np.ndarray[Any, Any]


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
    run = Called(library, target, limit)
    try:
        return _run_model(run, weights, inputs, layers)
    except Stopped as stop:
        if not layers and stop.where is not None:
            # Once more with the executor telling of layers, to name the one that failed.
            again = Called(library, target, limit)
            try:
                _run_model(again, weights, inputs, True)
            except Stopped as second:
                stop.where = second.where
        raise stop.error() from None


def _run_model(run: Called, weights: bytes | memoryview, inputs: Sequence[Array], layers: bool) -> Emulated:
    if not run.has("ep_get_model", "ep_run"):
        raise BundleError("the library does not have ep_get_model and ep_run; build the bundle again")
    layout, address = run.layout, run.call("ep_get_model")
    table = read_model_table(run.read, address, layout)
    _check(table, weights, inputs)
    io = [run.put(np.ascontiguousarray(array).tobytes()) for array in inputs]
    io += [run.room(spec.bytes) for spec in table.outputs]
    sizes = [spec.bytes for spec in (*table.inputs, *table.outputs)]
    tensors = run.put(layout.tensors(io, sizes))
    arena = run.room(table.arena_bytes)
    state = run.put(layout.memory(run.put(weights), len(weights), arena, table.arena_bytes))
    counts: list[tuple[str, int]] = []
    counter = run.counter()
    hooks = run.put(layout.layer_hooks(_watch_layers(run, table, counter, counts))) if layers else 0
    status = run.call("ep_run", address, tensors, 0, state, hooks) & 0xFFFFFFFF
    if status != 0:
        raise CheckError(f"the emulated model ended with status {status} of ep_run; build the bundle again")
    outputs = tuple(
        np.frombuffer(run.read(at, spec.bytes), spec.dtype).reshape(spec.shape)
        for at, spec in zip(io[len(table.inputs) :], table.outputs, strict=True)
    )
    return Emulated(outputs, counter.count, tuple(counts))


def _check(table: ModelTable, weights: bytes | memoryview, inputs: Sequence[Array]) -> None:
    if len(weights) < table.weights_bytes:
        raise BundleError(f"the weights have {len(weights)} bytes and the model needs {table.weights_bytes}")
    if len(inputs) != len(table.inputs):
        raise CheckError(f"the model has {len(table.inputs)} inputs and {len(inputs)} were given")
    for array, spec in zip(inputs, table.inputs, strict=True):
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise CheckError(
                f"the input {spec.name} is {spec.dtype} {spec.shape}, "
                f"and {array.dtype} {array.shape} was given"
            )


def _watch_layers(run: Called, table: ModelTable, counter: Counter, counts: list[tuple[str, int]]) -> int:
    """Have each op's instructions counted; the address of the hook that is to be told of ops."""
    begun = 0

    def told(argument: Callable[[int], int]) -> None:
        nonlocal begun
        op = argument(1)
        name = table.layers[op] if op < len(table.layers) else f"op {op}"
        if argument(3):
            counts.append((name, counter.count - begun))
            run.layer = None
        else:
            run.layer = name
            begun = counter.count

    return run.tell(told)
