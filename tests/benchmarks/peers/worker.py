"""One engine in a process of its own: told by lines of JSON on standard input what to do, and answering so.

    python -m tests.benchmarks.peers.worker ENGINE

So thread pools of different engines never meet, and an engine may live in an environment of its own.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np

from tests.benchmarks.peers.inputs import Array, example_set, rotation
from tests.benchmarks.peers.running import Running
from tests.benchmarks.peers.task import Task, kept

_PR_SET_PDEATHSIG = 1


class Worker:
    """An engine and the network that it has loaded."""

    def __init__(self, engine: str) -> None:
        self.name = engine
        self.engine: Any = importlib.import_module(f"tests.benchmarks.peers.engines.{engine}")
        self.running: Running | None = None
        self.sets: list[dict[str, Array]] = []
        self.turn = 0

    def version(self) -> dict[str, Any]:
        """Which engine this is."""
        return {"version": self.engine.version()}

    def convert(self, task: Task) -> dict[str, Any]:
        """Make what the engine loads, unless the cache has it."""
        folder = self.folder(task)
        begin = time.perf_counter()
        if not (folder / "done").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            self.engine.convert(task, folder)
            (folder / "done").write_text("")
        return {"seconds": time.perf_counter() - begin}

    def load(self, task: Task) -> dict[str, Any]:
        """Load, and say in which precision and on how many threads it will run."""
        self.running = self.engine.load(task, self.folder(task))
        self.sets, self.turn = rotation(task.inputs), 0
        return {
            "precision": self.running.precision,
            "threads": self.running.threads,
            "note": self.running.note,
            "own_model": self.running.own_model,
        }

    def check(self, task: Task, sets: int, path: str) -> dict[str, Any]:
        """Write the outputs for the first sets to a file."""
        assert self.running is not None
        found: dict[str, Array] = {}
        for index in range(sets):
            self.running.feed(example_set(task.inputs, index))
            self.running.run()
            found |= {f"{index}/{name}": np.array(array) for name, array in self.running.read().items()}
        np.savez(path, allow_pickle=False, **found)
        return {}

    def block(self, runs: int) -> dict[str, Any]:
        """Time some runs, each on the next inputs, after one that is thrown away."""
        assert self.running is not None
        feed, run, clock = self.running.feed, self.running.run, time.perf_counter
        seconds = []
        for number in range(runs + 1):
            feed(self.sets[self.turn % len(self.sets)])
            self.turn += 1
            begin = clock()
            run()
            end = clock()
            if number:
                seconds.append(end - begin)
        return {"seconds": seconds}

    def folder(self, task: Task) -> Path:
        """Where the engine keeps what it made of the network."""
        files = [*self.engine.SOURCES, Path(self.engine.__file__), task.model]
        return kept(f"{Path(task.graphs).name}-{task.precision}-{self.name}", files, self.engine.version())


def serve(engine: str, answers: IO[str]) -> None:
    """Answer until standard input ends."""
    worker: Worker | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        what = asked.pop("do")
        if "task" in asked:
            asked["task"] = Task(**asked["task"])
        try:
            worker = worker or Worker(engine)
            answer = getattr(worker, what)(**asked)
        except Exception as error:  # an engine may raise anything; the others go on
            text = " ".join(str(error).split())[:400]
            answer = {"error": f"{type(error).__name__}: {text}" if text else type(error).__name__}
            if os.environ.get("PEERS_DEBUG"):
                sys.excepthook(*sys.exc_info())
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main() -> None:
    """Keep standard output for answers: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if sys.platform == "linux":  # end with the parent, which may have put this process to sleep
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    cores = os.environ.get("PEERS_CORES")
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    serve(sys.argv[1], answers)


if __name__ == "__main__":
    main()
