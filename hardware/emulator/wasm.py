"""Run a WebAssembly module in this process under wasmtime, with bounds on its memory and its work.

wasmtime is not a browser's engine, but a module means the same in all of them. It counts fuel, about a unit
an operation of the module: it repeats exactly, and is not a count of any processor's instructions.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import BundleError, CheckError, MissingExtraError
from edgepress.hardware.emulator.layout import POINTERS_32
from edgepress.hardware.emulator.model_table import ModelTable, read_model_table

Array = np.ndarray[Any, Any]

_ALIGN = 64
_PAGE = 65536
_MOST_MEMORY = 4 << 30
DEFAULT_FUEL = 200_000_000_000
"""Fuel after which a run is taken for endless: a hundred times a large network."""


@dataclass(frozen=True)
class WasmRun:
    """What a run gave.

    Attributes:
        outputs: every output, in the model's order.
        fuel: what ``ep_run`` took, in wasmtime's units; repeats exactly for one version of wasmtime.
    """

    outputs: tuple[Array, ...]
    fuel: int


def run_module(
    module: bytes, weights: bytes | memoryview, inputs: Sequence[Array], *, fuel: int = DEFAULT_FUEL
) -> WasmRun:
    """Run a module of :mod:`edgepress.targets.compilers.link` once.

    Args:
        module: the bytes of ``lib<name>.wasm``.
        weights: the bytes of ``weights.bin``.
        inputs: one array an input, in the model's order, of its shape and type.
        fuel: the run is ended as endless after this much.

    Raises:
        BundleError: the module is damaged, or is none of edgepress's.
        CheckError: the run left its memory, failed or did not end.
        MissingExtraError: wasmtime is not installed.
    """
    try:
        wasmtime = importlib.import_module("wasmtime")
    except ImportError:
        raise MissingExtraError("running WebAssembly", "wasmtime", "build") from None
    return _Instance(wasmtime, module, fuel).model(weights, inputs)


class _Instance:
    def __init__(self, wasmtime: Any, module: bytes, fuel: int) -> None:
        self._wasmtime = wasmtime
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=_MOST_MEMORY, instances=1, memories=1, tables=1)
        self._store.set_fuel(fuel)
        try:
            compiled = wasmtime.Module(engine, module)
        except wasmtime.WasmtimeError as error:
            raise BundleError(
                f"the module is damaged ({_first_line(error)}); build the bundle again"
            ) from None
        if compiled.imports:
            raise BundleError(
                "the module needs functions of its host, and edgepress's need none; link it again"
            )
        try:
            self._exports = wasmtime.Instance(self._store, compiled, []).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise BundleError(
                f"the module does not start ({_first_line(error)}); build the bundle again"
            ) from None
        self._memory = self._export("memory", wasmtime.Memory)
        self._next = int(self._export("__heap_base", wasmtime.Global).value(self._store))

    def _export(self, name: str, kind: type) -> Any:
        found = self._exports.get(name)
        if not isinstance(found, kind):
            raise BundleError(f"the module does not have {name}; build the bundle again")
        return found

    def _call(self, name: str, *arguments: int) -> int:
        wasmtime = self._wasmtime
        function = self._export(name, wasmtime.Func)
        try:
            return int(function(self._store, *arguments)) & 0xFFFFFFFF
        except wasmtime.Trap as trap:
            code = getattr(trap.trap_code, "name", "")
            if code == "OUT_OF_FUEL":
                raise CheckError("the module did not end within the fuel that it was given") from None
            raise CheckError(
                f"the module stopped in {name} ({_first_line(trap)}); this is a fault of the compiler, "
                "use another engine"
            ) from None
        except (wasmtime.WasmtimeError, TypeError) as error:
            raise BundleError(f"{name} of the module cannot be called ({_first_line(error)})") from None

    def _read(self, address: int, count: int) -> bytes:
        if address + count > self._memory.data_len(self._store):
            raise BundleError("a table of the model lies outside the module's memory; build the bundle again")
        return bytes(self._memory.read(self._store, address, address + count))

    def _room(self, size: int) -> int:
        """Take ``size`` bytes after all that was taken before; the memory grows for them."""
        start = -(-self._next // _ALIGN) * _ALIGN
        self._next = start + size
        lacking = self._next - self._memory.data_len(self._store)
        if lacking > 0:
            try:
                self._memory.grow(self._store, -(-lacking // _PAGE))
            except self._wasmtime.WasmtimeError:
                raise CheckError("the model needs more memory than a WebAssembly module can have") from None
        return start

    def _put(self, data: bytes | memoryview) -> int:
        address = self._room(len(data))
        self._memory.write(self._store, bytes(data), address)
        return address

    def model(self, weights: bytes | memoryview, inputs: Sequence[Array]) -> WasmRun:
        address = self._call("ep_get_model")
        table = read_model_table(self._read, address, POINTERS_32)
        _check(table, weights, inputs)
        io = [self._put(np.ascontiguousarray(array).tobytes()) for array in inputs]
        io += [self._room(spec.bytes) for spec in table.outputs]
        tensors = self._put(POINTERS_32.tensors(io, [spec.bytes for spec in (*table.inputs, *table.outputs)]))
        arena = self._room(table.arena_bytes)
        state = POINTERS_32.memory(self._put(weights), len(weights), arena, table.arena_bytes)
        before = self._store.get_fuel()
        status = self._call("ep_run", address, tensors, 0, self._put(state), 0)
        used = before - self._store.get_fuel()
        if status != 0:
            raise CheckError(f"the module ended with status {status} of ep_run; build the bundle again")
        outputs = tuple(
            np.frombuffer(self._read(at, spec.bytes), spec.dtype).reshape(spec.shape)
            for at, spec in zip(io[len(inputs) :], table.outputs, strict=True)
        )
        return WasmRun(outputs, used)


def _check(table: ModelTable, weights: bytes | memoryview, inputs: Sequence[Array]) -> None:
    if len(weights) < table.weights_bytes:
        raise BundleError(f"the weights have {len(weights)} bytes and the model needs {table.weights_bytes}")
    given = [(array.shape, array.dtype) for array in inputs]
    if given != [(spec.shape, np.dtype(spec.dtype)) for spec in table.inputs]:
        raise CheckError(
            f"the inputs do not have the shapes and types that {table.name or 'the model'} takes"
        )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
