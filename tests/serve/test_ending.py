"""A busy server: who leaves, who must come again, and what becomes of those who wait when it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serve.running import PATIENCE_S, Reply, Running, ask, connect, post, read_reply, running
from tests.serve.slow import BODY, write_slow


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose answers take long."""
    return write_slow(tmp_path_factory.mktemp("slow") / "slow.edge")


def until(server: Running, name: str, holds: Callable[[float], bool]) -> None:
    """Wait until a metric is so."""
    end = time.monotonic() + PATIENCE_S
    while not holds(server.metrics().get(name, 0.0)):
        assert time.monotonic() < end, server.lines
        time.sleep(0.01)


def at_once(server: Running, count: int) -> tuple[list[threading.Thread], list[Reply]]:
    """So many clients that ask at the same time."""
    found: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(server.port, post(BODY)))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, found


def test_a_full_queue_refuses_and_the_others_are_answered(slow: Path) -> None:
    with running(slow, "--workers", 1, "--queue", 2) as server:
        threads, found = at_once(server, 12)
        for thread in threads:
            thread.join()
        by_status = {status: [x for x in found if x.status == status] for status in (200, 503)}
        assert len(found) == len(by_status[200]) + len(by_status[503]) == 12
        assert by_status[503], "never full"
        assert len(by_status[200]) >= 2
        for reply in by_status[503]:
            assert int(reply.headers["retry-after"]) >= 1
            assert "again" in reply.data["error"]


def test_who_leaves_while_waiting_is_dropped_and_counted(slow: Path) -> None:
    with running(slow, "--workers", 1) as server:
        socks = [connect(server.port) for _ in range(5)]
        for sock in socks:
            sock.sendall(post(BODY))
        until(server, "edgepress_waiting", lambda value: value >= 3)
        for sock in socks[1:]:
            sock.close()
        until(server, 'edgepress_requests_total{path="/v1/answer",status="left"}', lambda value: value >= 3)
        assert read_reply(socks[0]).status in (200, 0)
        socks[0].close()
        done = server.metrics()["edgepress_work_seconds_count"]
        assert done < 5, "those who had left were answered all the same"
        assert ask(server.port, post(BODY)).status == 200


def test_a_request_that_takes_too_long_is_told_so(slow: Path) -> None:
    with running(slow, "--workers", 1, "--request-time", 0.01) as server:
        reply = ask(server.port, post(BODY))
        assert reply.status == 504
        assert "0.01 s" in reply.data["error"]


def test_sigterm_answers_what_waits_and_ends_with_0(slow: Path) -> None:
    server = Running(slow, "--workers", 1)
    with connect(server.port) as idle:
        threads, found = at_once(server, 6)
        until(server, "edgepress_waiting", lambda value: value >= 5)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
        assert [reply.status for reply in found] == [200] * 6
        assert read_reply(idle).status == 0
    assert server.lines[-1]["event"] == "ended"
    assert server.lines[-1]["signal"] == "SIGTERM"


def test_ctrl_c_ends_it_with_130(slow: Path) -> None:
    server = Running(slow, "--workers", 1)
    assert server.stop(signal.SIGINT) == 130


def test_too_many_connections_are_told_to_come_again(slow: Path) -> None:
    with running(slow, "--workers", 1, "--connections", 3) as server:
        socks = [connect(server.port) for _ in range(3)]
        reply = ask(server.port, post(BODY))
        assert (reply.status, reply.headers["connection"]) == (503, "close")
        assert int(reply.headers["retry-after"]) >= 1
        for sock in socks:
            sock.close()
        until(server, "edgepress_connections", lambda value: value == 1)
        assert ask(server.port, post(BODY)).status == 200


def test_bodies_that_together_are_too_large(slow: Path) -> None:
    with running(slow, "--workers", 1, "--largest", 1, "--held", 1) as server, connect(server.port) as half:
        half.sendall(post(bytes(700_000), length=1 << 20))
        until(server, "edgepress_held_bytes", lambda value: value >= 700_000)
        reply = ask(server.port, post(bytes(500_000)))
        assert reply.status == 503
        assert "retry-after" in reply.headers


def test_far_too_many_connections_wait_and_are_not_lost(slow: Path) -> None:
    with running(slow, "--workers", 1, "--connections", 3, "--quiet-time", 1) as server:
        socks = [connect(server.port) for _ in range(300)]
        reply = ask(server.port, post(BODY))  # when the quiet ones have been ended
        assert reply.status in (200, 503)
        for sock in socks:
            sock.close()
