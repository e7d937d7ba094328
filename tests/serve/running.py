"""A server as a process of its own, and requests to it byte by byte."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
"""Within which everything happens, however busy the machine is; no test waits for it to pass."""


class Running:
    """A server that listens.

    Attributes:
        port, url: where.
        lines: what it has logged, as data.
    """

    def __init__(self, bundle: Path, *options: object, token: str = "", port: int = 0) -> None:
        command = [sys.executable, "-m", "edgepress", "serve", str(bundle), "--log", "json"]
        command += ["--listen", f"127.0.0.1:{port}", *map(str, options)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGEPRESS_TOKEN": token}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        self.lines: list[dict[str, Any]] = []
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.url: str = self.wait_for("listening")["url"]
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.url.rpartition(":")[2])

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next line of an event with these fields."""
        end = time.monotonic() + PATIENCE_S
        while (line := self._news.get(timeout=max(0.01, end - time.monotonic()))) is not None:
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items()):
                return line
        raise AssertionError(f"the server ended with {self.process.wait()}: {self.lines}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def metrics(self, token: str = "") -> dict[str, float]:
        """Every sample of ``/metrics`` by its name and labels."""
        headers = f"Authorization: Bearer {token}\r\n" if token else ""
        answer = ask(self.port, f"GET /metrics HTTP/1.1\r\nHost: a\r\n{headers}\r\n".encode())
        rows = [row.rpartition(" ") for row in answer.body.decode().splitlines() if row[:1] != "#"]
        return {name: float(value) for name, _, value in rows}

    def _read(self) -> None:
        assert self.process.stderr is not None
        for row in self.process.stderr:
            try:
                line = json.loads(row)
            except ValueError:
                line = {"event": "no-json", "text": row}
            self.lines.append(line)
            self._news.put(line)
        self._news.put(None)


@contextlib.contextmanager
def running(bundle: Path, *options: object, token: str = "", port: int = 0) -> Iterator[Running]:
    """A server for as long as the block runs; it must end with 0."""
    server = Running(bundle, *options, token=token, port=port)
    try:
        yield server
    finally:
        code = server.stop()
    assert code == 0, server.lines


@dataclass(frozen=True)
class Reply:
    """A reply: status 0 where the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def post(body: bytes, *headers: str, target: str = "/v1/answer", length: int | None = None) -> bytes:
    """A request to answer a body."""
    lines = [
        f"POST {target} HTTP/1.1",
        "Host: a",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def chunked(parts: list[bytes], *headers: str) -> bytes:
    """A request whose body comes in chunks, without the one that ends it."""
    head = "\r\n".join(
        ["POST /v1/answer HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *headers, "", ""]
    )
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def connect(port: int) -> socket.socket:
    """A connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def ask(port: int, request: bytes) -> Reply:
    """Send bytes on a connection of their own, and read the reply."""
    with connect(port) as sock:
        with contextlib.suppress(ConnectionError):  # a refusal may come before everything is sent
            sock.sendall(request)
        return read_reply(sock)


def read_reply(sock: socket.socket) -> Reply:
    """One reply of a connection."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            block = sock.recv(65536)
            if not block:
                return Reply(0, {}, data)
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rest)}
        while len(body) < int(headers["content-length"]):
            block = sock.recv(65536)
            if not block:
                return Reply(0, {}, data)
            body += block
    except ConnectionError:
        return Reply(0, {}, data)
    return Reply(int(first.split(" ")[1]), headers, body)
