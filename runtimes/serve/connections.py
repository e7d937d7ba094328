"""Sockets within limits: how many are open, and how long one may stay quiet.

uvicorn bounds neither how long a request's head may take nor how long a connection stays that is not read from.
"""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from edgepress.runtimes.serve.journal import Journal
from edgepress.runtimes.serve.limits import Limits

_SPARE = 256  # files beside connections, and connections that are told to come again
_SWEEP_S = 1.0


class Connection(H11Protocol):
    """A connection of HTTP/1.1 that does not stay for ever; :func:`connection_class` sets its limits."""

    limits: Limits
    journal: Journal
    _seen: tuple[RequestResponseCycle | None, bool] | None = None
    _since = 0.0

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self.journal.event("no-http", peer=f"{self.client[0]}:{self.client[1]}" if self.client else "")
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = json.dumps(
            {"error": "this is no request of HTTP/1.1 that can be read; check the client"}
        ).encode()
        head = (
            f"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        self.transport.write(head.encode() + b"Connection: close\r\n\r\n" + body)
        self.transport.close()

    def sweep(self, now: float) -> None:
        """End the connection where nothing has begun or ended on it for too long."""
        cycle: RequestResponseCycle | None = self.cycle
        state = (cycle, cycle is not None and not cycle.response_complete)
        if state != self._seen:
            self._seen, self._since = state, now
        limits = self.limits
        most = limits.request_s + 2 * limits.body_s if state[1] else limits.quiet_s
        if now - self._since > most:
            self.transport.abort()


def connection_class(limits: Limits, journal: Journal) -> type[Connection]:
    """The class of one server's connections, as uvicorn takes it."""
    return cast(type[Connection], type("Connection", (Connection,), {"limits": limits, "journal": journal}))


def bound_files(limits: Limits) -> None:
    """Let the process open no more files than connections need: clients beyond that wait in the system, not lost."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * limits.connections + _SPARE
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most)
    )


async def sweep_for_ever(connections: set[Any], limits: Limits) -> None:
    """Look at every connection once a second or more often."""
    while True:
        await asyncio.sleep(min(_SWEEP_S, limits.quiet_s / 4))
        now = asyncio.get_running_loop().time()
        for connection in list(connections):
            connection.sweep(now)
