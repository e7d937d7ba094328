"""Requests, good and bad, to a server that is a process of its own."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgepress
from edgepress.runtimes.split_session import SplitSession
from edgepress.version import __version__
from tests.serve.conftest import TOKEN
from tests.serve.running import Reply, Running, ask, chunked, connect, post, read_reply

PASS = f"Authorization: Bearer {TOKEN}"


def reason(reply: Reply, status: int) -> str:
    """The sentence of a refusal, which must be one."""
    assert reply.status == status, (reply.status, reply.body)
    sentence = reply.data["error"]
    assert isinstance(sentence, str)
    assert sentence and "\n" not in sentence and "Traceback" not in sentence
    return sentence


def test_an_answer_is_that_of_this_process(served: Running, here: SplitSession, stream: bytes) -> None:
    for head in ("server", "second"):
        reply = ask(
            served.port, post(stream, PASS, "X-Request-Id: one.2-3_4", target=f"/v1/answer?head={head}&top=3")
        )
        expected = here.answer(stream, head, 3)
        assert reply.status == 200
        assert reply.headers["x-request-id"] == "one.2-3_4"
        data = reply.data
        assert data.pop("server_ms") >= 0
        assert data == {
            "id": "one.2-3_4", "bundle": "halves", "identity": here.split.identity, "head": head, "rate": 1,
            "labels": [{"label": x.name, "index": x.index, "score": x.probability} for x in expected.labels],
            "outputs": {"scores": {"shape": [1, 10], "dtype": "float32"}},
        }  # fmt: skip


def test_the_first_output_alone(served: Running, here: SplitSession, stream: bytes) -> None:
    reply = ask(served.port, post(stream, PASS, "Accept: application/octet-stream"))
    assert (reply.status, json.loads(reply.headers["x-output"])) == (200, "scores")
    found = np.load(io.BytesIO(reply.body), allow_pickle=False)
    np.testing.assert_array_equal(found, here.answer(stream).outputs["scores"])


def test_a_file_is_answered_by_a_network_that_is_not_split(
    served_whole: Running, whole: Path, photo: Path
) -> None:
    reply = ask(served_whole.port, post(photo.read_bytes()))
    with edgepress.load(whole) as session:
        labels = session.run(photo).labels
        assert reply.data["identity"] == session.bundle.identity
    assert [one["score"] for one in reply.data["labels"]] == [one.probability for one in labels]
    assert (reply.data["head"], reply.data["rate"]) == ("main", None)
    assert "picture" in reason(ask(served_whole.port, post(b"no picture")), 400)
    assert "empty" in reason(ask(served_whole.port, post(b"")), 400)


def test_one_connection_serves_many_requests_and_outlives_a_refusal(served: Running, stream: bytes) -> None:
    with connect(served.port) as sock:
        for body, status in ((stream, 200), (stream[:-1], 400), (b"", 400), (stream, 200)):
            sock.sendall(post(body, PASS))
            assert read_reply(sock).status == status
        sock.sendall(chunked([stream[:10], stream[10:]], PASS) + b"0\r\n\r\n")
        assert read_reply(sock).status == 200
        sock.sendall(post(stream, PASS) * 3)  # in a row, without waiting
        assert [read_reply(sock).status for _ in range(3)] == [200] * 3


def test_a_stream_of_another_student_is_refused_by_name(
    served: Running, here: SplitSession, others: Path, photo: Path
) -> None:
    with edgepress.load(others) as session:
        assert isinstance(session, SplitSession)
        sentence = reason(ask(served.port, post(session.encode(photo), PASS)), 409)
        assert session.split.identity in sentence
        assert here.split.identity in sentence


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/v1/answer?head=nobody", 404, "server, second"),
        ("/v1/answer?head=serve", 404, "server"),
        ("/v1/answer?top=0", 400, "1 to 1000"),
        ("/v1/answer?top=1001", 400, "1 to 1000"),
        ("/v1/answer?top=%F0%9F%98%80", 400, "1 to 1000"),
        ("/v1/answer?top=1&depth=2", 400, "depth"),
        ("/v1/answer?" + "&".join("top=1" for _ in range(50)), 400, "query"),
        ("/v1/answer?top", 400, "query"),
        ("/v2/answer", 404, "/v1/answer"),
        ("/", 404, "/v1/answer"),
        ("/metrics", 405, "GET"),
    ],
)
def test_what_is_not_there(served: Running, stream: bytes, target: str, status: int, words: str) -> None:
    assert words in reason(ask(served.port, post(stream, PASS, target=target)), status)


def test_a_method_that_is_not_taken_says_which_is(served: Running) -> None:
    reply = ask(served.port, b"GET /v1/answer HTTP/1.1\r\nHost: a\r\n\r\n")
    reason(reply, 405)
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "header",
    ["", "Authorization: Bearer", "Authorization: Bearer x", f"Authorization: Basic {TOKEN}",
     f"Authorization: Bearer {TOKEN}x", f"Authorization: {TOKEN}", f"X-Token: {TOKEN}"],
)  # fmt: skip
def test_no_answer_without_the_token(served: Running, stream: bytes, header: str) -> None:
    reply = ask(served.port, post(stream, *filter(None, [header])))
    assert "token" in reason(reply, 401)
    assert reply.headers["www-authenticate"].startswith("Bearer")
    reason(ask(served.port, f"GET /metrics HTTP/1.1\r\nHost: a\r\n{header or 'A: b'}\r\n\r\n".encode()), 401)


def test_the_scheme_of_the_token_is_not_case_sensitive(served: Running, stream: bytes) -> None:
    assert ask(served.port, post(stream, f"authorization: bearer  {TOKEN}")).status == 200


def test_health_says_what_is_served_to_those_who_may_know(served: Running, here: SplitSession) -> None:
    request = "GET /health HTTP/1.1\r\nHost: a\r\n"
    assert ask(served.port, f"{request}\r\n".encode()).data == {"status": "ok"}
    known = ask(served.port, f"{request}{PASS}\r\n\r\n".encode()).data
    assert known["identity"] == here.split.identity
    assert known["heads"] == ["server", "second"]


def test_metrics_count(served: Running, stream: bytes) -> None:
    name = 'edgepress_requests_total{path="/v1/answer",status="200"}'
    before = served.metrics(TOKEN)
    for _ in range(3):
        assert ask(served.port, post(stream, PASS)).status == 200
    after = served.metrics(TOKEN)
    assert after[name] - before.get(name, 0) == 3
    count = "edgepress_work_seconds_count"
    assert after[count] - before[count] == 3
    assert after["edgepress_waiting"] == after["edgepress_held_bytes"] == 0
    assert after["process_resident_memory_bytes"] > 1 << 20
    assert any(f'version="{__version__}"' in name for name in after)


def test_a_body_that_is_too_large_is_refused_before_it_comes(served: Running) -> None:
    for length in (1 << 17 | 1, 1 << 40, 10**19 - 1):
        assert "131072" in reason(ask(served.port, post(b"", PASS, length=length)), 413)
    # The same with all of it on the way: the reason comes through.
    assert "131072" in reason(ask(served.port, post(bytes(1 << 19), PASS)), 413)


def test_chunks_are_counted(served: Running) -> None:
    assert "larger" in reason(ask(served.port, chunked([bytes(1 << 16)] * 3, PASS)), 413)


@pytest.mark.parametrize("length", ["-1", "+1", "1e3", "", "0x10", "1, 2", "\u0661"])
def test_a_length_that_is_none(served: Running, length: str) -> None:
    request = f"POST /v1/answer HTTP/1.1\r\nHost: a\r\n{PASS}\r\nContent-Length: {length}\r\n\r\n"
    reason(ask(served.port, request.encode()), 400)


def test_a_compressed_body(served: Running, stream: bytes) -> None:
    assert "Content-Encoding" in reason(ask(served.port, post(stream, PASS, "Content-Encoding: gzip")), 415)


def test_a_body_that_comes_too_slowly(served: Running, stream: bytes) -> None:
    with connect(served.port) as sock:
        sock.sendall(post(stream[:5], PASS, length=len(stream)))
        reply = read_reply(sock)
        assert "0.5 s" in reason(reply, 408)
        assert reply.headers["connection"] == "close"


def test_connections_on_which_nothing_comes_are_ended(served: Running) -> None:
    with connect(served.port) as silent, connect(served.port) as begun:
        begun.sendall(b"POST /v1/answer HTTP/1.1\r\nHost")
        for sock in (silent, begun):
            assert read_reply(sock).status == 0


def test_a_client_that_leaves_within_its_body_leaves_nothing_behind(served: Running, stream: bytes) -> None:
    for _ in range(20):
        with connect(served.port) as sock:
            sock.sendall(post(stream[:-7], PASS, length=len(stream)))
    end = time.monotonic() + 30
    while served.metrics(TOKEN)["edgepress_held_bytes"] and time.monotonic() < end:
        time.sleep(0.05)
    assert served.metrics(TOKEN)["edgepress_held_bytes"] == 0
    assert ask(served.port, post(stream, PASS)).status == 200


@pytest.mark.parametrize(
    "junk",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"EHLO a\r\n\r\n", b"GET / HTTP/1.1\r\nHost a\r\n\r\n",
     b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/answer HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000],
)  # fmt: skip
def test_what_is_no_http_is_told_so(served: Running, junk: bytes) -> None:
    reply = ask(served.port, junk)
    assert 400 <= reply.status < 500 or (reply.status == 501)
    assert reply.data["error"]


@given(st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
def test_a_damaged_stream_is_refused_or_answered_as_here(
    served: Running, here: SplitSession, stream: bytes, data: st.DataObject
) -> None:
    made = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(0, len(made) - 1))] ^= data.draw(st.integers(1, 255))
    del made[data.draw(st.integers(0, len(made))) :]
    reply = ask(served.port, post(bytes(made), PASS))
    if reply.status == 200:
        assert reply.data["labels"][0]["score"] == here.answer(bytes(made)).labels[0].probability
    else:
        assert reason(reply, 409 if "student" in reply.data["error"] else 400)


def test_every_request_is_one_line_without_what_was_sent(served: Running, stream: bytes) -> None:
    ask(served.port, post(b"a secret body", PASS, "X-Request-Id: seen"))
    line = served.wait_for("request", id="seen")
    assert line["status"] == "400"
    assert line["bytes"] == 13
    assert "stream" in line["error"]
    text = json.dumps(served.lines)
    assert "secret" not in text
    assert TOKEN not in text
    # A path that would forge a line stays one.
    ask(served.port, b"GET /a%0Ab HTTP/1.1\r\nHost: a\r\nX-Request-Id: forged\r\n\r\n")
    assert "\n" not in served.wait_for("request", id="forged")["path"]
    ask(served.port, b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: no such id\r\n\r\n")
    assert served.wait_for("request", path="/")["id"] != "no such id"
