"""Servers that do as no server should: each connection's conduct is written down beforehand."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.serve.running import PATIENCE_S

Conduct = Callable[[socket.socket, bytes], None]
"""Given a connection and the request that came on it, does something and returns; the connection then ends."""

GOOD = {
    "id": "x", "bundle": "halves", "identity": "0" * 32, "head": "server", "rate": 1, "outputs": {}, "server_ms": 1.5,
    "labels": [{"label": "thing", "index": 3, "score": 0.5}],
}  # fmt: skip


def reply(status: int, data: Any = None, *headers: str, stays: bool = False) -> Conduct:
    """An answer with a status."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    rows = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    rows += [] if stays else ["Connection: close"]
    text = "\r\n".join([*rows, "", ""]).encode() + body

    def act(sock: socket.socket, _: bytes) -> None:
        sock.sendall(text)

    return act


def raw(data: bytes) -> Conduct:
    """Bytes as they are."""
    return lambda sock, _: sock.sendall(data)


def leave(sock: socket.socket, _: bytes) -> None:
    """Say nothing."""


@dataclass
class Odd:
    """A server.

    Attributes:
        url: where.
        requests: what came, one for each time that a request was read.
        connections: how many there were.
    """

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    def numbers(self) -> list[str]:
        """The ``X-Request-Id`` of each request."""
        found = []
        for request in self.requests:
            rows = request.decode("latin-1").split("\r\n")
            found += [row.split(": ")[1] for row in rows if row.lower().startswith("x-request-id")]
        return found


@contextmanager
def odd_server(*conducts: Conduct, stays: bool = False) -> Iterator[Odd]:
    """A server whose requests are answered so, one after the other, the last conduct for all that follow.

    Args:
        stays: read further requests on the same connection.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    odd = Odd(f"http://127.0.0.1:{listener.getsockname()[1]}")

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            odd.connections += 1
            with sock:
                sock.settimeout(PATIENCE_S)
                try:
                    while request := _request(sock):
                        odd.requests.append(request)
                        conducts[min(len(odd.requests), len(conducts)) - 1](sock, request)
                        if not stays:
                            break
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield odd
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)


def _request(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        block = sock.recv(65536)
        if not block:
            return b""
        data += block
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (int(row[15:]) for row in head.split(b"\r\n") if row.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body
