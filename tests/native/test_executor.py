"""ep_run's refusals, its hooks, and the C sources themselves."""

from __future__ import annotations

import ctypes
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepress.runtimes.native import POOL_BYTES, aligned
from edgepress.runtimes.native_table import Hooks, Model, Op, State, Tensor
from edgepress.targets.compilers.zig import c_compiler, invoke
from edgepress.targets.load import load_target
from tests.native.tiny_model import RUNTIME, example, expected, weights
from tests.required_tools import tool

OK, BAD_ABI, BAD_ARGUMENT, TOO_SMALL, FAILED = range(5)


class Call:
    """Everything that a call of ep_run needs, each piece free to be spoilt."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.ep_get_model.restype = ctypes.c_void_p
        self.library.ep_status_text.restype = ctypes.c_char_p
        self.model = Model()
        ctypes.memmove(
            ctypes.byref(self.model), ctypes.c_void_p(self.library.ep_get_model()), ctypes.sizeof(Model)
        )
        self.weights = aligned(6976)
        self.weights[:] = np.frombuffer(weights(), np.uint8)
        self.arena = aligned(320)
        self.x = aligned(64)
        self.x[:] = example().view(np.uint8).ravel()
        self.outputs = [aligned(40), aligned(256)]
        self.io = (Tensor * 3)(*(Tensor(a.ctypes.data, a.nbytes) for a in (self.x, *self.outputs)))
        self.state = State(self.weights.ctypes.data, 6976, self.arena.ctypes.data, 320)
        self.hooks = Hooks()

    def run(self) -> int:
        """The status."""
        pointers = (
            ctypes.byref(self.model),
            self.io,
            None,
            ctypes.byref(self.state),
            ctypes.byref(self.hooks),
        )
        return int(self.library.ep_run(*pointers))


@pytest.fixture
def call(here_library: Path) -> Iterator[Call]:
    yield Call(here_library)


def test_it_runs(call: Call) -> None:
    assert call.run() == OK
    np.testing.assert_allclose(
        call.outputs[0].view(np.float32), expected(example())["probabilities"][0], rtol=2e-6
    )


@pytest.mark.parametrize(
    ("status", "spoil"),
    [
        (BAD_ABI, "call.model.abi = 2"),
        (BAD_ABI, "call.model.max_args = 129"),
        (BAD_ARGUMENT, "call.state.weights = None"),
        (BAD_ARGUMENT, "call.state.arena += 4"),
        (BAD_ARGUMENT, "call.state.weights += 32"),
        (BAD_ARGUMENT, "call.io[0].data = None"),
        (BAD_ARGUMENT, "call.io[2].data += 1"),
        (TOO_SMALL, "call.state.weights_bytes -= 1"),
        (TOO_SMALL, "call.state.arena_bytes = 319"),
        (TOO_SMALL, "call.io[0].bytes = 63"),
        (TOO_SMALL, "call.io[1].bytes = 0"),
    ],
)
def test_a_bad_call_is_refused_before_anything_is_written(call: Call, status: int, spoil: str) -> None:
    exec(spoil, {"call": call})
    assert call.run() == status
    assert not any(output.any() for output in call.outputs)
    assert len(call.library.ep_status_text(status)) > 20


def test_null_pointers_are_refused(call: Call) -> None:
    model, state = ctypes.byref(call.model), ctypes.byref(call.state)
    assert call.library.ep_run(None, call.io, None, state, None) == BAD_ARGUMENT
    assert call.library.ep_run(model, None, None, state, None) == BAD_ARGUMENT
    assert call.library.ep_run(model, call.io, None, None, None) == BAD_ARGUMENT
    assert call.library.ep_run(model, call.io, None, state, None) == OK


class _Ref(ctypes.Structure):
    _fields_ = (("space", ctypes.c_uint32), ("index", ctypes.c_uint32), ("offset", ctypes.c_uint64))


@pytest.mark.parametrize("ref", [(9, 0, 0), (2, 1, 0), (3, 2, 0), (0, 0, 320), (1, 0, 1 << 63), (2, 0, 64)])
def test_a_reference_outside_its_space_is_refused(call: Call, ref: tuple[int, int, int]) -> None:
    ops = (Op * 4)(*(call.model.ops[i] for i in range(4)))
    args = (_Ref * 2)(_Ref(0, 0, 0), _Ref(*ref))
    ops[1].args = ctypes.addressof(args)
    call.model.ops = ctypes.cast(ops, ctypes.POINTER(Op))
    assert call.run() == BAD_ARGUMENT


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failing_kernel_is_told(call: Call, threads: int) -> None:
    kernel_type = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
    seen: list[tuple[int, int]] = []

    def kernel(args: Any, part: int, parts: int) -> int:
        seen.append((part, parts))
        return int(part == parts - 1)

    failing, parallel = kernel_type(kernel), _parallel()
    ops = (Op * 4)(*(call.model.ops[i] for i in range(4)))
    ops[0].run = ctypes.cast(failing, ctypes.c_void_p)
    call.model.ops = ctypes.cast(ops, ctypes.POINTER(Op))
    call.hooks = Hooks(None, threads, ctypes.cast(parallel, ctypes.c_void_p), None)
    assert call.run() == FAILED
    assert sorted(seen) == [(part, threads) for part in range(threads)]


def _parallel() -> Any:
    """A hook of the application's own: Python threads, one a part."""
    task_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)
    hook_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, task_type, ctypes.c_void_p, ctypes.c_int32)

    def hook(context: Any, task: Any, task_context: Any, parts: int) -> None:
        workers = [threading.Thread(target=task, args=(task_context, part)) for part in range(parts)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return hook_type(hook)


def test_an_application_may_bring_its_own_threads_and_watch_the_layers(call: Call) -> None:
    told: list[tuple[int, bytes, int]] = []
    layer_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_int32)
    layer = layer_type(lambda context, index, name, done: told.append((index, name, done)))
    parallel = _parallel()
    assert call.run() == OK
    alone = [output.tobytes() for output in call.outputs]
    call.hooks = Hooks(None, 5, ctypes.cast(parallel, ctypes.c_void_p), ctypes.cast(layer, ctypes.c_void_p))
    assert call.run() == OK
    assert [output.tobytes() for output in call.outputs] == alone
    names = (b"dense", b"gelu", b"classes", b"softmax")
    assert told == [(i, name, done) for i, name in enumerate(names) for done in (0, 1)]


def test_the_pool_runs_parts_at_the_same_time_and_loses_none(here_library: Path) -> None:
    library = ctypes.CDLL(str(here_library))
    pool = aligned(POOL_BYTES)
    place = ctypes.c_void_p(pool.ctypes.data)
    workers = [threading.Thread(target=library.ep_pool_serve, args=(place,)) for _ in range(3)]
    task_type = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)
    done: list[int] = []
    count = task_type(lambda context, part: done.append(part))
    for turn in range(400):  # the workers come one by one while turns are taken
        if turn % 100 == 50 and turn < 350:
            workers[turn // 100].start()
        done.clear()
        library.ep_pool_parallel(place, count, None, turn % 9)
        assert sorted(done) == list(range(turn % 9))
    while library.ep_pool_workers(place) < 3:
        threading.Event().wait(0.001)
    meeting = threading.Barrier(4)  # broken after 20 s if any part waited for another to end
    met: list[int] = []

    def meet(context: Any, part: int) -> None:
        meeting.wait(20)
        met.append(part)

    library.ep_pool_parallel(place, task_type(meet), None, 4)
    library.ep_pool_stop(place)
    for worker in workers:
        worker.join(20)
    assert sorted(met) == [0, 1, 2, 3]
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("source", sorted(path.name for path in RUNTIME.glob("*.c")))
def test_sources_are_stock_c11_without_warnings(source: str, tmp_path: Path) -> None:
    strict = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
    command = [tool("cc"), *strict, "-O2", "-fno-builtin", f"-I{RUNTIME}", "-c", str(RUNTIME / source)]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "a.o")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_headers_are_usable_from_cpp(tmp_path: Path) -> None:
    source = tmp_path / "a.cpp"
    source.write_text('#include "ep_threads.h"\nunsigned f() { return ep_get_model()->abi; }\n')
    compiler = (*c_compiler(load_target("host")).cc, "-x", "c++", "-Wall", "-Wextra", "-Werror")
    invoke((*compiler, f"-I{RUNTIME}", "-c", "a.cpp", "-o", "a.o"), "compiling the headers as C++", tmp_path)
