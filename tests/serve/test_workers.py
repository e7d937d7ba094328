"""The queue and its threads, with workers that wait until they are told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edgepress.errors import DataError
from edgepress.runtimes.serve.refusal import Refusal
from edgepress.runtimes.serve.service import Question
from edgepress.runtimes.serve.workers import Workers
from edgepress.runtimes.session import Result


class Gated:
    """A worker that answers when its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked: list[bytes] = []
        self.closed = False

    def answer(self, question: Question) -> Result:
        """The question's own name."""
        self.asked.append(question.body)
        self.begun.release()
        assert self.gate.wait(60)
        if question.body == b"bad":
            raise DataError("a bad body")
        return Result({}, note=question.body.decode())

    def close(self) -> None:
        """Say so."""
        self.closed = True


def question(name: str) -> Question:
    """One of that name."""
    return Question(name.encode(), "server", 5)


@contextmanager
def one_worker(room: int) -> Iterator[tuple[Gated, Workers]]:
    """A worker and its queue; whatever happens, the gate is open at the end."""
    worker = Gated()
    workers = Workers([worker], room)
    try:
        yield worker, workers
    finally:
        worker.gate.set()
        workers.close()
    assert worker.closed


def test_more_than_there_is_room_for_is_told_to_come_again() -> None:
    async def run(worker: Gated, workers: Workers) -> None:
        first = asyncio.create_task(workers.answer(question("0")))
        await asyncio.to_thread(worker.begun.acquire)
        waiting = [asyncio.create_task(workers.answer(question(str(n)))) for n in (1, 2)]
        await asyncio.sleep(0)
        assert (workers.busy, workers.waiting) == (1, 2)
        with pytest.raises(Refusal) as refused:
            await workers.answer(question("3"))
        assert (refused.value.status, refused.value.retry_s) == (503, 1)
        worker.gate.set()
        assert [(await task).note for task in (first, *waiting)] == ["0", "1", "2"]

    with one_worker(2) as (worker, workers):
        asyncio.run(run(worker, workers))
    assert worker.asked == [b"0", b"1", b"2"]


def test_who_leaves_is_dropped_from_the_queue() -> None:
    async def run(worker: Gated, workers: Workers) -> None:
        tasks = [asyncio.create_task(workers.answer(question(str(n)))) for n in range(4)]
        await asyncio.to_thread(worker.begun.acquire)
        tasks[0].cancel()  # it is being answered: that goes on
        tasks[2].cancel()
        await asyncio.wait({tasks[0], tasks[2]})
        assert workers.waiting == 2
        worker.gate.set()
        assert [(await tasks[n]).note for n in (1, 3)] == ["1", "3"]

    with one_worker(8) as (worker, workers):
        asyncio.run(run(worker, workers))
    assert worker.asked == [b"0", b"1", b"3"]


def test_a_bad_question_does_not_end_the_worker() -> None:
    async def run(worker: Gated, workers: Workers) -> None:
        worker.gate.set()
        with pytest.raises(DataError, match="a bad body"):
            await workers.answer(question("bad"))
        assert (await workers.answer(question("good"))).note == "good"

    with one_worker(1) as (worker, workers):
        asyncio.run(run(worker, workers))


def test_what_waits_is_done_before_the_end() -> None:
    async def run(worker: Gated, workers: Workers) -> list[str]:
        tasks = [asyncio.create_task(workers.answer(question(str(n)))) for n in range(5)]
        await asyncio.to_thread(worker.begun.acquire)
        ending = asyncio.create_task(asyncio.to_thread(workers.close))
        worker.gate.set()
        notes = [(await task).note for task in tasks]
        await ending
        return notes

    with one_worker(8) as (worker, workers):
        assert asyncio.run(run(worker, workers)) == ["0", "1", "2", "3", "4"]


def test_the_wait_that_is_asked_for_follows_the_work() -> None:
    with one_worker(3) as (_, workers):
        workers._mean_s = 2.5
        workers._waiting.extend([None] * 3)  # type: ignore[list-item]
        with pytest.raises(Refusal) as refused:
            workers.check_room()
        workers._waiting.clear()
    assert refused.value.retry_s == 8
