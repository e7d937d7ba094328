"""What the cores are to each other just now: a rented machine's virtual cores move over its real ones.

Two virtual cores may be one real core's two threads, which do hardly more than one; or cores with a cache in
common; or far apart. Figures for several threads mean little unless it is known which.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepress.targets import load_target
from edgepress.targets.compilers.zig import OPTIONS, c_compiler, invoke

_SECONDS = 0.004  # of one trial
_BOUNCES = 200
_BATCHES = 10


@dataclass(frozen=True)
class Together:
    """Several cores at one moment.

    Attributes:
        scaling: how much multiply-adding all of them do at once, over what one does alone.
        round_trip_ns: how long a word takes from the first core to the last and back, at best.
    """

    scaling: float
    round_trip_ns: float


class CoreProbe:
    """Asks the given cores.

    Raises:
        MissingExtraError, CompileError: the probe cannot be compiled.
    """

    def __init__(self, cores: Sequence[int]) -> None:
        self.cores = tuple(cores)
        with tempfile.TemporaryDirectory(prefix="peers-cores-") as folder:
            target, place = load_target("host"), Path(folder)
            (place / "cores.c").write_bytes(Path(__file__).with_suffix(".c").read_bytes())
            options = (*OPTIONS, "-ffp-contract=fast", "-fPIC", "-shared", "-fvisibility=default")
            command = (*c_compiler(target).cc, *options, "cores.c", "-o", "libcores.so")
            invoke(command, "compiling the probe of the cores", place)
            self.library = ctypes.CDLL(str(place / "libcores.so"))
        self.library.cores_work.argtypes = (ctypes.c_int64,)
        self.library.cores_work.restype = ctypes.c_float
        self.library.cores_bounce.argtypes = (ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
        self.rounds = 1000
        while (spent := self._work(self.cores[:1])) < _SECONDS:
            self.rounds = int(self.rounds * min(10.0, 1.2 * _SECONDS / spent + 1))

    def ask(self) -> Together:
        """One trial; it takes some 20 ms."""
        alone = sum(self._work((core,)) for core in self.cores) / len(self.cores)
        scaling = len(self.cores) * alone / self._work(self.cores)
        return Together(scaling, min(self._bounce() for _ in range(_BATCHES)))

    def _bounce(self) -> float:
        """Nanoseconds from the first core to the last and back, over some round trips."""
        word, ends = ctypes.c_int32(0), (self.cores[0], self.cores[-1])
        times = [0.0, 0.0]

        def bounce(mine: int) -> None:
            begin = time.perf_counter()
            self.library.cores_bounce(ctypes.addressof(word), mine, _BOUNCES)
            times[mine] = time.perf_counter() - begin

        _at_once(bounce, ends)
        return 1e9 * min(times) / _BOUNCES

    def _work(self, cores: Sequence[int]) -> float:
        """Seconds from when the first of these cores begins until all have done the same work."""
        begins, ends = [0.0] * len(cores), [0.0] * len(cores)

        def work(place: int) -> None:
            begins[place] = time.perf_counter()
            self.library.cores_work(self.rounds)
            ends[place] = time.perf_counter()

        _at_once(work, cores)
        return max(ends) - min(begins)


def _at_once(task: Callable[[int], None], cores: Sequence[int]) -> None:
    """``task(0)``, ``task(1)`` and so on, each in a thread on its core, all beginning together."""
    begin = threading.Barrier(len(cores))

    def run(number: int, core: int) -> None:
        os.sched_setaffinity(0, {core})  # of this thread alone
        begin.wait()
        task(number)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(cores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
