"""The ASGI application: three paths, each refusal with its reason, each request counted and written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from edgepress.runtimes.bearer import Guard
from edgepress.runtimes.serve.asked import Asked, asked
from edgepress.runtimes.serve.bodies import Held, Receive, check_head, discard, read_body
from edgepress.runtimes.serve.journal import Journal
from edgepress.runtimes.serve.limits import Limits
from edgepress.runtimes.serve.metrics import KIND, Metrics
from edgepress.runtimes.serve.refusal import Left, Refusal, refusal_of
from edgepress.runtimes.serve.replies import Reply, answer_reply, json_reply
from edgepress.runtimes.serve.service import Question, Service
from edgepress.runtimes.serve.workers import Workers
from edgepress.runtimes.session import Result

Send = Callable[[dict[str, Any]], Awaitable[None]]

ANSWER, HEALTH, METRICS = "/v1/answer", "/health", "/metrics"
_METHODS = {ANSWER: ("POST",), HEALTH: ("GET", "HEAD"), METRICS: ("GET", "HEAD")}


@dataclass
class Application:
    """Answers requests.

    Attributes:
        service: knows which bodies can be answered; its network is not run here.
        workers: run it.
        connections: how many are open.
        ending: whether the server is about to end; it still answers what it has.
    """

    service: Service
    workers: Workers
    limits: Limits
    guard: Guard
    metrics: Metrics
    journal: Journal
    connections: Callable[[], int]
    ending: bool = False

    def __post_init__(self) -> None:
        self._held = Held(self.limits.held)
        self.metrics.gauge("edgepress_waiting", "Requests that wait.", lambda: self.workers.waiting)
        self.metrics.gauge("edgepress_busy", "Workers that work.", lambda: self.workers.busy)
        self.metrics.gauge("edgepress_connections", "Open connections.", lambda: self.connections())
        self.metrics.gauge("edgepress_held_bytes", "Bodies in memory.", lambda: self._held.bytes)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI interface, for requests of HTTP."""
        call = asked(scope)
        path = call.path if call.path in _METHODS else "other"
        status, cause = "left", None
        try:
            reply, refusal = await self._reply(call, receive)
            cause = refusal.sentence if refusal else None
            async with asyncio.timeout(self.limits.body_s):
                await _send(call, reply, refusal, receive, send)
            status = str(reply.status)
        except (Left, TimeoutError):
            cause = "the client went away"
        took = time.monotonic() - call.since
        self.metrics.request(path, status)
        if status == "200" and path == ANSWER:
            self.metrics.answered(took)
        self.journal.request(
            method=call.method, path=call.path, status=status, ms=round(took * 1e3, 1), bytes=call.body, rate=call.rate,
            id=call.number, peer=call.peer, error=cause,
        )  # fmt: skip

    async def _reply(self, call: Asked, receive: Receive) -> tuple[Reply, Refusal | None]:
        try:
            async with asyncio.timeout(self.limits.request_s):
                return await self._answer(call, receive), None
        except TimeoutError:
            refusal = Refusal(
                504,
                f"no answer within {self.limits.request_s:g} s; send it again when the server is less busy",
            )
        except Left:
            raise
        except Exception as error:
            refusal = refusal_of(error)
            if refusal.status >= 500 and not isinstance(error, Refusal):
                self.journal.event("failed", id=call.number, kind=type(error).__name__, error=str(error))
        if call.unread:
            refusal.close = True
        data = {"error": refusal.sentence, "id": call.number}
        return json_reply(refusal.status, data, tuple(refusal.headers)), refusal

    async def _answer(self, call: Asked, receive: Receive) -> Reply:
        methods = _METHODS.get(call.path)
        if methods is None:
            raise Refusal(404, f"nothing is here; there are {', '.join(_METHODS)}")
        if call.method not in methods:
            raise Refusal(405, f"{call.path} takes {' and '.join(methods)}", allow=", ".join(methods))
        known = self.guard.passes(call.headers.get(b"authorization", b""))
        if call.path == HEALTH:
            return self._health(known)
        if not known:
            raise Refusal(401, "the token is missing or wrong; send the header Authorization: Bearer TOKEN")
        if call.path == METRICS:
            return Reply(200, KIND, self.metrics.text())
        if self.connections() > self.limits.connections:
            raise Refusal(503, "too many connections are open; send it again", retry_s=1, close=True)
        return await self._question(call, receive)

    async def _question(self, call: Asked, receive: Receive) -> Reply:
        head, top = call.head_and_top(self.service.heads)
        check_head(call.headers, self.limits)
        if call.unread and b"content-length" in call.headers:
            self.workers.check_room()  # before much is read for nothing
        with self._held.share() as add:
            body = await read_body(receive, self.limits, add)
            begun = time.monotonic()
            call.body = len(body)
            self.metrics.body(len(body))
            call.rate = self.service.check(body)
            result = await _unless_left(self.workers.answer(Question(body, head, top)), receive)
        about = {
            "id": call.number, "bundle": self.service.name, "identity": self.service.identity, "head": head,
            "rate": call.rate, "server_ms": round((time.monotonic() - begun) * 1e3, 3),
        }  # fmt: skip
        return answer_reply(about, result, call.tensor)

    def _health(self, known: bool) -> Reply:
        data: dict[str, Any] = {"status": "ending" if self.ending else "ok"}
        if known:  # others need not learn what is served
            data |= {
                "bundle": self.service.name,
                "identity": self.service.identity,
                "heads": self.service.heads,
            }
        return json_reply(503 if self.ending else 200, data)


async def _unless_left(answer: Awaitable[Result], receive: Receive) -> Result:
    """Wait for an answer for as long as the client does.

    Raises:
        Left: it went away; the answer is cancelled.
    """
    waiting = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_disconnection(receive))
    try:
        await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise Left
        return waiting.result()
    finally:
        waiting.cancel()
        watching.cancel()
        await asyncio.gather(waiting, watching, return_exceptions=True)


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(call: Asked, reply: Reply, refusal: Refusal | None, receive: Receive, send: Send) -> None:
    lingers = refusal is not None and call.unread
    headers = [
        (b"content-type", reply.kind), (b"content-length", str(len(reply.body)).encode()),
        (b"x-request-id", call.number.encode()), (b"cache-control", b"no-store"), *reply.headers,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": lingers})
    if lingers:
        await discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
