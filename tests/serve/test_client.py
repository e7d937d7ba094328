"""The client against servers that fail in every way, and against one that is killed and comes back."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from edgepress.errors import DataError, EdgepressError, NoAnswerError, OtherStreamError, UsageError
from edgepress.runtimes.served_session import Rest
from edgepress.runtimes.split_answer import Answer
from edgepress.runtimes.split_client import NoConnection, SplitClient
from tests.bundles import npy
from tests.serve.odd import GOOD, Conduct, leave, odd_server, raw, reply

LONG_S = 60.0


def answered(url: str, timeout: float = LONG_S, **how: Any) -> Answer:
    """What a client of its own is answered."""
    with contextlib.closing(SplitClient(url, timeout=timeout)) as client:
        return client.answer(b"body", **how)


@pytest.mark.parametrize(
    "first",
    [leave, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), raw(b"HTTP/1.1 200"), raw(b"\x00\xff\r\n\r\n"),
     reply(503, {"error": "busy"}), reply(408, {"error": "slow"}), reply(504, {"error": "late"})],
    ids=["gone", "half", "line", "junk", "503", "408", "504"],
)  # fmt: skip
def test_what_is_worth_a_repeat_is_repeated_with_the_same_number(first: Conduct) -> None:
    with odd_server(first, first, reply(200, GOOD)) as odd:
        answer = answered(odd.url)
    assert (answer.labels[0].name, answer.labels[0].index, answer.labels[0].probability) == ("thing", 3, 0.5)
    assert answer.tries == len(odd.requests) == 3
    assert len(set(odd.numbers())) == 1
    assert {request.rpartition(b"\r\n\r\n")[2] for request in odd.requests} == {b"body"}


def test_each_question_has_its_own_number_and_one_connection_serves_all() -> None:
    with (
        odd_server(reply(200, GOOD, stays=True), stays=True) as odd,
        contextlib.closing(SplitClient(odd.url, timeout=LONG_S)) as client,
    ):
        for _ in range(5):
            client.answer(b"body")
    assert len(set(odd.numbers())) == 5
    assert odd.connections == 1


def test_a_connection_that_the_server_had_closed_costs_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("a pause"))
    with (
        odd_server(reply(200, GOOD, stays=True)) as odd,  # which says that it stays, and does not
        contextlib.closing(SplitClient(odd.url, timeout=LONG_S)) as client,
    ):
        for _ in range(3):
            assert client.answer(b"body").tries == 1
    assert odd.connections == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, DataError), (401, UsageError), (404, UsageError), (405, UsageError), (409, OtherStreamError),
     (413, DataError), (415, DataError), (418, UsageError), (301, UsageError), (500, NoAnswerError)],
)  # fmt: skip
def test_what_no_repeat_helps_is_asked_once(status: int, kind: type[EdgepressError]) -> None:
    with (
        odd_server(reply(status, {"error": "the cause; the mend"})) as odd,
        pytest.raises(kind) as raised,
    ):
        answered(odd.url)
    assert len(odd.requests) == 1
    assert "\n" not in str(raised.value)
    assert status == 401 or "the cause" in str(raised.value)


def test_retry_after_is_honoured_and_one_beyond_the_limit_is_not_waited_for() -> None:
    with odd_server(reply(503, {"error": "busy"}, "Retry-After: 1"), reply(200, GOOD)) as odd:
        begun = time.monotonic()
        assert answered(odd.url).tries == 2
        assert time.monotonic() - begun >= 1
    with odd_server(reply(503, {"error": "busy"}, "Retry-After: 3600")) as odd:
        begun = time.monotonic()
        with pytest.raises(NoAnswerError, match="busy"):
            answered(odd.url)
        assert time.monotonic() - begun < LONG_S / 2
        assert len(odd.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"no json", b"{}", b'{"labels": 5}', json.dumps({**GOOD, "labels": [{"index": "1"}]}).encode(),
     json.dumps({**GOOD, "rate": 1.5}).encode(), json.dumps({**GOOD, "server_ms": "1"}).encode(),
     json.dumps({**GOOD, "server_ms": 10**400}).encode(), b"[" * 100_000, b"\xff\xfe"],
)  # fmt: skip
def test_answers_that_are_none(body: bytes) -> None:
    with odd_server(reply(200, body)) as odd, pytest.raises(NoAnswerError, match="something else"):
        answered(odd.url)


def test_tensors_that_are_none() -> None:
    good = npy(np.arange(6, dtype=np.float32).reshape(2, 3))
    with odd_server(reply(200, good, 'X-Output: "scores"')) as odd:
        answer = answered(odd.url, tensor=True)
    np.testing.assert_array_equal(answer.outputs["scores"], np.arange(6).reshape(2, 3))
    huge = good.replace(b"(2, 3)", b"(2000000000, 3)")
    objects = npy(np.array([1.5])).replace(b"<f8", b"|O ")
    for body in (b"", good[:-1], huge, objects, b"PK\x03\x04" + bytes(50), b"\x93NUMPY\x01\x00\xff\xff{"):
        with odd_server(reply(200, body)) as odd, pytest.raises(NoAnswerError, match="something else"):
            answered(odd.url, tensor=True)


def test_the_time_limit_holds_for_a_server_that_is_silent_and_for_one_that_dribbles() -> None:
    ended = threading.Event()

    def silent(_: socket.socket, __: bytes) -> None:
        ended.wait(LONG_S)

    def dribbles(sock: socket.socket, _: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not ended.wait(0.05):
            sock.sendall(b" ")

    for conduct in (silent, dribbles):
        ended.clear()
        with odd_server(conduct) as odd:
            begun = time.monotonic()
            with pytest.raises(NoAnswerError, match="in time"):
                answered(odd.url, 0.3)
            assert time.monotonic() - begun < LONG_S / 2
            ended.set()


def test_a_server_that_is_down_is_told_from_one_that_fails() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(NoConnection, match="reached"):
        answered(url, 0.3)
    begun = time.monotonic()
    with pytest.raises(NoConnection):
        answered(url, persistent=False)
    assert time.monotonic() - begun < LONG_S / 2


@pytest.mark.parametrize(
    "url",
    ["", "host", "ftp://host", "http://", "http://host:x", "http://host:99999", "http://user:word@host",
     "http://host/?a=b", "file:///etc/passwd", "http://[::1"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="address"):
        SplitClient(url)


@pytest.mark.parametrize("options", [{"timeout": 0.0}, {"timeout": -1.0}, {"timeout": float("nan")},
                                     {"timeout": float("inf")}, {"token": "a\r\nHost: b"}, {"token": "ü"}])  # fmt: skip
def test_options_that_are_none(options: dict[str, float | str]) -> None:
    with pytest.raises(UsageError):
        SplitClient("http://host", **options)  # type: ignore[arg-type]


def test_a_path_before_the_servers_own_is_kept_and_the_token_is_sent() -> None:
    with odd_server(reply(200, GOOD)) as odd:
        SplitClient(f"{odd.url}/behind/a/proxy/", "secret-token", LONG_S).answer(
            b"body", head="second", top=7
        )
    (request,) = odd.requests
    assert request.startswith(b"POST /behind/a/proxy/v1/answer?head=second&top=7 HTTP/1.1\r\n")
    assert b"Authorization: Bearer secret-token\r\n" in request


def test_a_server_that_gave_no_answer_is_left_alone_longer_each_time() -> None:
    rest = Rest(0.05, 0.15)
    assert rest.may_ask() and rest.may_ask()
    rest.failed()
    assert not rest.may_ask()
    time.sleep(0.06)
    assert rest.may_ask()
    assert not rest.may_ask(), "two ask at the end of one rest"
    for _ in range(5):
        rest.failed()
    time.sleep(0.11)
    assert not rest.may_ask()
    time.sleep(0.1)
    assert rest.may_ask(), "longer than the longest"
    rest.worked()
    assert rest.may_ask() and rest.may_ask()
