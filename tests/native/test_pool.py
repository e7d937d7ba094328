"""The thread pool in C: no part is lost under stress, it needs no worker to come, and it survives a fork."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from edgepress.runtimes.native import POOL_BYTES, NativeModel, aligned
from edgepress.targets.compilers.zig import c_compiler, invoke
from edgepress.targets.load import load_target
from tests.native.tiny_model import RUNTIME, example, weights

SOURCES = ("ep_pool.c", "ep_run.c", "ep_threads.c")


def _stress(folder: Path, *options: str) -> Path:
    sources = [str(Path(__file__).with_name("pool_stress.c")), *(str(RUNTIME / name) for name in SOURCES)]
    command = (*c_compiler(load_target("host")).cc, "-O2", "-std=gnu11", *options, f"-I{RUNTIME}", *sources)
    invoke((*command, "-lpthread", "-o", "stress"), "compiling the stress test", folder)
    return folder / "stress"


def _run(program: Path, turns: int) -> None:
    done = subprocess.run([program, str(turns)], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr[-4000:]


def test_no_part_is_lost_whatever_the_threads_do(tmp_path: Path) -> None:
    _run(_stress(tmp_path), 3000)


def test_threads_that_share_one_core_end_too(tmp_path: Path) -> None:
    program = _stress(tmp_path)
    if not hasattr(os, "sched_setaffinity"):
        return _run(program, 1000)
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usable)})
    try:
        _run(program, 1000)
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.slow
def test_thread_sanitizer_finds_no_race(tmp_path: Path) -> None:
    _run(_stress(tmp_path, "-g", "-fsanitize=thread"), 2000)


def _parts(seen: list[int]) -> Any:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)(lambda context, part: seen.append(part))


def test_the_pool_fits_in_what_python_gives_it() -> None:
    header = (RUNTIME / "ep_pool.h").read_text("utf-8")
    assert f"uint64_t words[{POOL_BYTES // 8}];" in header


@pytest.mark.parametrize("parts", [0, 1, 2, 33, 100])
def test_without_workers_the_caller_runs_every_part(here_library: Path, parts: int) -> None:
    library = ctypes.CDLL(str(here_library))
    pool = aligned(POOL_BYTES)
    seen: list[int] = []
    library.ep_pool_parallel(ctypes.c_void_p(pool.ctypes.data), _parts(seen), None, parts)
    assert sorted(seen) == list(range(parts))


def test_a_worker_that_does_not_come_is_not_waited_for(here_library: Path) -> None:
    """The workers are held up in one part each; the caller runs the others and waits for those two alone."""
    library = ctypes.CDLL(str(here_library))
    pool = aligned(POOL_BYTES)
    place = ctypes.c_void_p(pool.ctypes.data)
    workers = [threading.Thread(target=library.ep_pool_serve, args=(place,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    while library.ep_pool_workers(place) < 2:
        threading.Event().wait(0.001)
    free = threading.Event()
    ran: dict[int, int] = {}
    caller = threading.get_ident()

    def part(context: Any, number: int) -> None:
        ran[number] = threading.get_ident()
        if len(ran) == 30:
            free.set()
        if threading.get_ident() != caller:
            free.wait(20)

    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32)
    library.ep_pool_parallel(place, kind(part), None, 30)
    library.ep_pool_stop(place)
    for worker in workers:
        worker.join(20)
    assert sorted(ran) == list(range(30))
    assert list(ran.values()).count(caller) >= 28


def _child(model: NativeModel, wanted: bytes, queue: Any) -> None:
    queue.put(model.run({"x": example()})["probabilities"].tobytes() == wanted)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_has_no_workers_and_runs_all_the_same(here_library: Path) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        return
    context: Any = multiprocessing.get_context("fork")
    model = NativeModel(here_library, weights(), threads=3)
    wanted = model.run({"x": example()})["probabilities"].tobytes()
    queue = context.Queue()
    child = context.Process(target=_child, args=(model, wanted, queue))
    child.start()
    assert queue.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert model.run({"x": example()})["probabilities"].tobytes() == wanted
