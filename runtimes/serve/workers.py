"""The queue and the threads behind it: each worker owns a session of one thread, and takes what waits longest.

Requests that wait are not joined into a batch. For EfficientNet-Lite0 on two cores, batches of 1, 2, 4, 8 and 16
through ONNX Runtime gave 209, 201, 197, 194 and 181 answers a second on one thread and 280, 286, 326, 322 and 317 on
two; two sessions of one thread each gave 414, and the compiled engine so 521, where one session of it on two threads
gave 387 (measured on x86-64 with AVX-512).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgepress.runtimes.serve.refusal import Refusal
from edgepress.runtimes.serve.service import Question
from edgepress.runtimes.session import Result

_SHARE = 0.1  # of the last time in the mean that clients are told to wait for


class Worker(Protocol):
    """What one thread works with."""

    def answer(self, question: Question) -> Result:
        """Do one task; what it raises is the requester's."""
        ...

    def close(self) -> None:
        """Let everything go."""
        ...


@dataclass(eq=False)
class _Job:
    task: Question
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Result]
    since: float = field(default_factory=time.monotonic)

    def finish(self, done: Result | None, error: Exception | None) -> None:
        """Called in the loop."""
        if not self.future.done():
            if error is not None:
                self.future.set_exception(error)
            else:
                self.future.set_result(done)  # type: ignore[arg-type]


class Workers:
    """Threads that answer what waits, first come, first served.

    Args:
        workers: one a thread; each is used by its own thread alone, and closed there.
        room: how many tasks may wait.
        watch: told the seconds that each task waited and took.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        room: int,
        watch: Callable[[float, float], None] = lambda *_: None,
    ) -> None:
        self.room, self._watch = room, watch
        self._waiting: deque[_Job] = deque()
        self._change = threading.Condition()
        self._ended = False
        self._busy = 0
        self._mean_s = 0.0
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"worker-{number}", daemon=True)
            for number, worker in enumerate(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """How many tasks are being done."""
        return self._busy

    def check_room(self) -> None:
        """Refuse where nothing more may wait.

        Raises:
            Refusal: 503, with the seconds after which there should be room.
        """
        if len(self._waiting) >= self.room:
            wait = len(self._waiting) * self._mean_s / max(1, len(self._threads))
            raise Refusal(
                503, f"{self.room} requests wait already; send it again", retry_s=max(1, math.ceil(wait))
            )

    async def answer(self, task: Question) -> Result:
        """Have a task done; when this is cancelled, a task that still waits is dropped.

        Raises:
            Refusal: 503, too many tasks wait.
        """
        loop = asyncio.get_running_loop()
        job = _Job(task, loop, loop.create_future())
        with self._change:
            self.check_room()
            self._waiting.append(job)
            self._change.notify()
        try:
            return await job.future
        except asyncio.CancelledError:
            with self._change:
                if job in self._waiting:
                    self._waiting.remove(job)
            raise

    def close(self) -> None:
        """Do what waits, then end the threads."""
        with self._change:
            self._ended = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> _Job | None:
        with self._change:
            while not self._waiting and not self._ended:
                self._change.wait()
            if not self._waiting:
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _work(self, worker: Worker) -> None:
        try:
            while (job := self._next()) is not None:
                self._do(worker, job)
                del job  # its body is not kept until the next one comes
        finally:
            worker.close()

    def _do(self, worker: Worker, job: _Job) -> None:
        begun = time.monotonic()
        done, error = None, None
        try:
            done = worker.answer(job.task)
        except Exception as raised:
            error = raised
        took = time.monotonic() - begun
        with self._change:
            self._busy -= 1
            self._mean_s += (took - self._mean_s) * (_SHARE if self._mean_s else 1)
        self._watch(begun - job.since, took)
        try:
            job.loop.call_soon_threadsafe(job.finish, done, error)
        except RuntimeError:  # the loop has ended: nobody waits any more
            return
