"""Run a compiled model's shared library in this process, by ctypes: neither torch nor a compiler is needed.

Threads are Python's: each calls into the library's pool and sleeps there without the interpreter's lock
until an op is divided. So the library needs no libc and no thread library, and the same file loads on
glibc, musl and Android.
"""

from __future__ import annotations

import _ctypes
import ctypes
import itertools
import os
import platform
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.errors import BundleError, EdgepressError, TargetError, UsageError
from edgepress.runtimes.engine import check_threads
from edgepress.runtimes.native_table import ALIGN, Hooks, State, Tensor, read_tables
from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]

POOL_BYTES = 384
_serial = itertools.count(1)
_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 243: "riscv64", 40: "arm"}


def aligned(size: int) -> Array:
    """A fresh array of ``size`` zero bytes whose address is a multiple of 64."""
    block = np.zeros(size + ALIGN, np.uint8)
    start = -block.ctypes.data % ALIGN
    return block[start : start + size]


class NativeModel:
    """A compiled model, ready to run.

    One arena belongs to the object, so its runs follow one another: calls from several threads wait for
    each other. For runs at the same time make one object each; they share the weights.

    Attributes:
        name: the model's name.
        inputs, outputs: in the model's order.
        arena_bytes, weights_bytes: the memory of a run, and of the weights.
    """

    def __init__(self, library: Path, weights: Any, *, threads: int = 1) -> None:
        """Load a library of this machine's kind.

        Args:
            library: the shared library.
            weights: anything with the buffer interface: bytes, a memory map, an array. Used in place when it
                lies at a multiple of 64 bytes, else copied once.
            threads: how many threads an op may be divided over; the result is the same for any number.

        Raises:
            BundleError: the library is damaged or of another version, or the weights are too short.
            TargetError: the library is for another processor.
            UsageError: the number of threads is not 1 to 256.
        """
        check_threads(threads)
        self._library = _load(library)
        stops: list[Callable[[], object]] = []
        # Not at the interpreter's end: a thread may still run in the library then, and the process frees it.
        weakref.finalize(self, _unload, self._library, stops).atexit = False
        self._model = int(self._library.ep_get_model() or 0)
        self.name, self.inputs, self.outputs, self._layers, self.arena_bytes, self.weights_bytes = (
            read_tables(self._model)
        )
        self._weights = _weights(weights, self.weights_bytes)
        self._arena = aligned(self.arena_bytes)
        self._state = State(
            self._weights.ctypes.data, self._weights.nbytes, self._arena.ctypes.data, self._arena.nbytes
        )
        self._input_buffers = [aligned(spec.bytes) for spec in self.inputs]
        self._lock = threading.Lock()
        self._threads = threads
        self._pool = _start_pool(self, self._library, threads, stops) if threads > 1 else None
        parallel = (
            ctypes.cast(self._library.ep_pool_parallel, ctypes.c_void_p).value
            if self._pool is not None
            else None
        )
        self._hooks = Hooks(
            self._pool.ctypes.data if self._pool is not None else None, threads, parallel, None
        )

    def layers(self) -> list[str]:
        """The ops' names, in the order they run."""
        return list(self._layers)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Args:
            inputs: every input by name, of its shape and type.

        Returns:
            Every output by name, in arrays that are the caller's own.

        Raises:
            UsageError: an input is missing, unknown, or of another shape or type.
            EdgepressError: the model failed.
        """
        given = self._check(inputs)
        results = [aligned(spec.bytes) for spec in self.outputs]
        with self._lock:
            io = self._tensors(given, results)
            self._raise(
                self._library.ep_run(
                    self._model, io, None, ctypes.byref(self._state), ctypes.byref(self._hooks)
                )
            )
        return {
            spec.name: data.view(spec.dtype).reshape(spec.shape)
            for spec, data in zip(self.outputs, results, strict=True)
        }

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> Callable[[], None]:
        """A call that runs on these arrays where they lie: it copies nothing and allocates nothing.

        Args:
            inputs, outputs: every input and output by name, of its shape and type, without gaps and at a
                multiple of 64 bytes, as :func:`aligned` gives; what they hold when the call is made is read.

        Returns:
            The call; it keeps the model and the arrays alive, and raises EdgepressError if the model fails.

        Raises:
            UsageError: an array is missing, of another shape or type, has gaps or lies elsewhere.
        """
        given = self._check(inputs)
        results = [_fitting(spec, outputs, "output") for spec in self.outputs]
        if not all(array.flags.writeable for array in results):
            raise UsageError("an output array is read-only; use aligned()")
        for array in (*given, *results):
            if not array.flags.c_contiguous or array.ctypes.data % ALIGN:
                raise UsageError(f"an array has gaps or lies at no multiple of {ALIGN} bytes; use aligned()")
        io, run, model = self._tensors(given, results), self._library.ep_run, self._model
        state, hooks, lock = ctypes.byref(self._state), ctypes.byref(self._hooks), self._lock
        kept = (self, given, results)

        def call() -> None:
            with lock:
                status = run(model, io, None, state, hooks)
            if status:
                kept[0]._raise(status)

        return call

    def profile(self, inputs: Mapping[str, Array], repeats: int) -> Array:
        """Measure each op, timed in C by the system's steady clock.

        Args:
            inputs: as for :meth:`run`.
            repeats: how many runs.

        Returns:
            Seconds, float64 of shape (repeats, ops); columns are :meth:`layers`.

        Raises:
            UsageError: as for :meth:`run`, or ``repeats`` is not 1 to 1,000,000.
        """
        if not 1 <= repeats <= 1_000_000:
            raise UsageError(f"{repeats} repeats cannot be run; give a number from 1 to 1000000")
        if not hasattr(self._library, "ep_profile"):
            raise UsageError("the library has no clock on this system; time whole runs instead")
        given = self._check(inputs)
        results = [aligned(spec.bytes) for spec in self.outputs]
        times = np.zeros((repeats, len(self._layers)), np.uint64)
        with self._lock:
            io = self._tensors(given, results)
            self._raise(
                self._library.ep_profile(
                    self._model,
                    io,
                    ctypes.byref(self._state),
                    self._hooks.context,
                    self._threads,
                    repeats,
                    times.ctypes.data,
                )
            )
        return times.astype(np.float64) * 1e-9

    def _check(self, inputs: Mapping[str, Array]) -> list[Array]:
        unknown = sorted(set(inputs) - {spec.name for spec in self.inputs})
        if unknown:
            raise UsageError(
                f"the model has no input {unknown[0]!r}; "
                f"it has {', '.join(spec.name for spec in self.inputs)}"
            )
        return [_fitting(spec, inputs) for spec in self.inputs]

    def _tensors(self, given: list[Array], results: list[Array]) -> Any:
        """The io array: inputs in place where they are aligned and dense, else copied."""
        io = (Tensor * (len(given) + len(results)))()
        for i, (array, buffer) in enumerate(zip(given, self._input_buffers, strict=True)):
            if array.flags.c_contiguous and array.ctypes.data % ALIGN == 0:
                io[i] = Tensor(array.ctypes.data, array.nbytes)
            else:
                buffer.view(array.dtype).reshape(array.shape)[...] = array
                io[i] = Tensor(buffer.ctypes.data, buffer.nbytes)
        for i, result in enumerate(results):
            io[len(given) + i] = Tensor(result.ctypes.data, result.nbytes)
        return io

    def _raise(self, status: int) -> None:
        if status != 0:
            text = self._library.ep_status_text(status).decode("ascii", "replace")
            raise EdgepressError(f"the compiled model {self.name} did not run: {text}")


def _fitting(spec: TensorSpec, arrays: Mapping[str, Array], kind: str = "input") -> Array:
    if spec.name not in arrays:
        raise UsageError(f"the {kind} {spec.name!r} is missing; give {spec.dtype} of shape {spec.shape}")
    array = np.asarray(arrays[spec.name])
    if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
        raise UsageError(
            f"the {kind} {spec.name!r} must be {spec.dtype} of shape {spec.shape}, "
            f"not {array.dtype} of shape {array.shape}"
        )
    return array


def _weights(weights: Any, need: int) -> Array:
    data: Array = (
        np.frombuffer(weights, np.uint8) if need or memoryview(weights).nbytes else np.zeros(0, np.uint8)
    )
    if data.nbytes < need:
        raise BundleError(
            f"the weights have {data.nbytes} bytes and the model needs {need}; the bundle is damaged"
        )
    if data.ctypes.data % ALIGN:
        copy = aligned(data.nbytes)
        copy[:] = data
        return copy
    return data


def _load(path: Path) -> ctypes.CDLL:
    """Open the library and describe its functions to ctypes."""
    machine = None
    try:
        with path.open("rb") as file:
            machine = _ELF_MACHINES.get(int.from_bytes(file.read(20)[18:20], "little"))
        library = ctypes.CDLL(_fresh_name(path))
    except OSError as error:
        if machine is not None and machine != _this_machine():
            raise TargetError(
                f"the library is machine code for {machine} and this machine is {_this_machine()}; "
                "run the portable graph instead"
            ) from None
        raise BundleError(f"the library cannot be loaded ({error}); build the bundle again") from None
    try:
        library.ep_get_model.argtypes = ()
        library.ep_get_model.restype = ctypes.c_void_p
        library.ep_run.argtypes = (ctypes.c_void_p,) * 5
        library.ep_run.restype = ctypes.c_int
        library.ep_status_text.argtypes = (ctypes.c_int,)
        library.ep_status_text.restype = ctypes.c_char_p
    except AttributeError:
        _unload(library, [])
        raise BundleError("the library is no compiled model; build the bundle again") from None
    if hasattr(library, "ep_pool_serve"):
        for name in ("ep_pool_serve", "ep_pool_stop", "ep_pool_workers"):
            getattr(library, name).argtypes = (ctypes.c_void_p,)
        library.ep_pool_serve.restype = library.ep_pool_stop.restype = None
        library.ep_pool_workers.restype = ctypes.c_uint32
        library.ep_profile.argtypes = (
            *(ctypes.c_void_p,) * 4, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p,
        )  # fmt: skip
        library.ep_profile.restype = ctypes.c_int
    return library


def _fresh_name(path: Path) -> str:
    """A name for the file that this process has not loaded under yet.

    The system's loader takes a name that it knows for the library that it has, even when another file is
    there now (a new build, or a reused descriptor). So the path carries a serial number: ``/.`` is a one.
    """
    bits = f"{next(_serial):032b}".replace("0", "/").replace("1", "/.")
    whole = os.path.abspath(path)  # not resolved: a descriptor of /proc leads to no name
    return os.path.join(os.path.dirname(whole) + bits, os.path.basename(whole))


def _this_machine() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "arm"}.get(machine, machine)


def _unload(library: ctypes.CDLL, stops: list[Callable[[], object]]) -> None:
    """Give the library's memory back, once none of its threads runs; ctypes itself never does."""
    for stop in stops:
        stop()
    _ctypes.dlclose(library._handle)


def _start_pool(
    owner: object, library: ctypes.CDLL, threads: int, stops: list[Callable[[], object]]
) -> Array:
    """Start the workers and see that they end, before their memory goes, with the owner or the process."""
    if not hasattr(library, "ep_pool_serve"):
        raise UsageError("the library has no thread pool on this system; use one thread")
    pool = aligned(POOL_BYTES)
    workers = [
        threading.Thread(
            target=library.ep_pool_serve, args=(pool.ctypes.data,), name=f"edgepress-{i}", daemon=True
        )
        for i in range(1, threads)
    ]
    stops.append(weakref.finalize(owner, _stop_pool, library, pool, workers))
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 5.0
    while library.ep_pool_workers(pool.ctypes.data) < len(workers) and time.monotonic() < deadline:
        time.sleep(0.0005)
    return pool


def _stop_pool(library: ctypes.CDLL, pool: Array, workers: list[threading.Thread]) -> None:
    library.ep_pool_stop(pool.ctypes.data)
    for worker in workers:
        if worker.ident is not None:  # None where the system allowed no more threads
            worker.join()
