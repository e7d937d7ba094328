"""Questions to a server of ``edgepress serve``: kept connections, repeats that are safe, a time limit that holds.

The standard library's HTTP, so that a device installs nothing more. It limits each step and not the whole, and looking
up a name has no limit at all; so every exchange runs in a thread of its own, which is left behind when time is up.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from edgepress.errors import DataError, EdgepressError, NoAnswerError, OtherStreamError, UsageError
from edgepress.runtimes.split_answer import LARGEST, Answer, read_answer, sentence_of

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_KEPT = 4  # connections that wait to be used again
_REPEATED = (408, 503, 504)
_ERRORS: dict[int, type[EdgepressError]] = {
    400: DataError,
    413: DataError,
    415: DataError,
    409: OtherStreamError,
}
_TENSOR, _JSON = "application/octet-stream", "application/json"


class NoConnection(NoAnswerError):
    """Not even a connection could be made: the server, or the link to it, is down."""


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class _Exchange:
    """A request, and what becomes of it in its thread."""

    target: str
    body: bytes
    headers: dict[str, str]
    done: threading.Event = field(default_factory=threading.Event)
    reply: _Reply | None = None
    error: BaseException | None = None
    connection: http.client.HTTPConnection | None = None
    given_up: bool = False

    def give_up(self) -> None:
        """End what the thread waits for; a name that is being looked up cannot be."""
        self.given_up = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class SplitClient:
    """A server; several threads may ask it.

    Args:
        url: such as ``https://host:8443``.
        token: that the server asks for; empty sends none.
        timeout: seconds for a question, its repeats included.
        authority: PEM file of who signed the server's certificate; None trusts the system's.

    Raises:
        UsageError: the address cannot be used.
    """

    def __init__(
        self, url: str, token: str = "", timeout: float = 10.0, authority: str | Path | None = None
    ) -> None:
        self.url, self.timeout = url, timeout
        parts = _parts(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path.rstrip("/")
        if not 0 < timeout < float("inf"):
            raise UsageError(f"the time limit is {timeout} s; give a figure above 0")
        if not token.isascii() or any(sign.isspace() for sign in token):
            raise UsageError("the token has signs that no header can carry; give it as the server has it")
        self._token = token
        self._context = _context(authority) if parts.scheme == "https" else None
        self._kept: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def answer(
        self,
        body: bytes,
        *,
        head: str = "",
        top: int = 5,
        tensor: bool = False,
        timeout: float | None = None,
        persistent: bool = True,
    ) -> Answer:
        """Have a stream or a file answered.

        Repeats where the connection was lost, or the server was busy or too slow: the answer depends on the body
        alone. Every repeat carries the same number, and waits longer, by a random share, or as long as the server says.

        Args:
            body: a stream of a split network, or a file.
            head: which of the server's heads; empty takes the first.
            top: how many classes to name.
            tensor: ask for the first output in place of the classes.
            timeout: seconds in place of the client's own.
            persistent: try again where no connection can be made, too.

        Raises:
            DataError: the server says that the body is damaged or too large; an
                :class:`~edgepress.errors.OtherStreamError`, that it is of another student.
            NoAnswerError: it did not answer in time, or failed; :class:`NoConnection` where it cannot be reached.
            UsageError: it refuses the token or the question.
        """
        query = urlencode({**({"head": head} if head else {}), "top": top}, quote_via=quote)
        headers = {
            "X-Request-Id": uuid.uuid4().hex,
            "Accept": _TENSOR if tensor else _JSON,
            "Content-Type": _TENSOR,
        }
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        target = f"{self._path}/v1/answer?{query}"
        begun = time.monotonic()
        end = begun + (self.timeout if timeout is None else timeout)
        tries = 0
        while True:
            pause = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(tries, 10)) * random.uniform(0.5, 1.5)
            tries += 1
            try:
                reply = self._within(end - time.monotonic(), _Exchange(target, body, headers))
            except _Final:
                raise
            except NoAnswerError as error:
                if isinstance(error, NoConnection) and not persistent:
                    raise
                cause = error
            else:
                if reply.status == 200:
                    took = time.monotonic() - begun
                    return read_answer(
                        reply.body, dict(reply.headers), tensor, self.url, took, tries, len(body)
                    )
                cause = self._refused(reply)
                pause = max(pause, _retry_after(reply.headers.get("Retry-After", "")))
            if time.monotonic() + pause >= end:
                raise cause from None
            time.sleep(pause)

    def close(self) -> None:
        """End the connections; closing twice does nothing more."""
        with self._lock:
            self._closed = True
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()

    def _refused(self, reply: _Reply) -> NoAnswerError:
        """What to say of a status that is worth a repeat; raises for any other."""
        said = sentence_of(reply.body)
        if reply.status in _REPEATED:
            return NoAnswerError(f"the server {self.url} gave no answer: {said or reply.status}")
        if reply.status in _ERRORS:
            raise _ERRORS[reply.status](f"the server {self.url} says: {said or reply.status}")
        if reply.status == 401:
            raise UsageError(f"the server {self.url} refuses the token; set EDGEPRESS_TOKEN to its own")
        if reply.status < 500:
            raise UsageError(
                f"{self.url} answers with status {reply.status} ({said or 'without a reason'}); "
                "give the address of an edgepress server"
            )
        raise _Final(f"the server {self.url} failed: {said or reply.status}")

    def _within(self, seconds: float, exchange: _Exchange) -> _Reply:
        """Run an exchange in a thread, and wait no longer than so many seconds for it."""

        def run() -> None:
            try:
                exchange.reply = self._run(exchange)
            except BaseException as error:  # raised again where it is waited for
                exchange.error = error
            finally:
                exchange.done.set()

        threading.Thread(target=run, name="edgepress-exchange", daemon=True).start()
        if not exchange.done.wait(max(0.0, seconds)):
            exchange.give_up()
            raise NoAnswerError(
                f"the server {self.url} did not answer in time; give it longer with --timeout"
            )
        if exchange.error is not None:
            raise exchange.error
        assert exchange.reply is not None
        return exchange.reply

    def _run(self, exchange: _Exchange) -> _Reply:
        """One request and its reply; one on a kept connection that the server had closed begins again."""
        while True:
            with self._lock:
                kept = self._kept.pop() if self._kept else None
            connection = exchange.connection = kept or self._connect()
            try:
                connection.request("POST", exchange.target, exchange.body, exchange.headers)
                response = connection.getresponse()
                data = response.read(LARGEST + 1)
                if len(data) > LARGEST:
                    raise _Final(
                        f"{self.url} answers with more than {LARGEST} bytes; give an edgepress server"
                    )
                # http.client minds neither an end within the body, where it is told how much to read, nor one
                # within the head, which leaves no length.
                if response.length or (response.length is None and not response.chunked):
                    raise http.client.IncompleteRead(data)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept is not None and not exchange.given_up:
                    continue
                raise NoAnswerError(
                    f"the connection to {self.url} was lost ({reason(error)}); is it the address of the server?"
                ) from None
            except BaseException:
                connection.close()
                raise
            with self._lock:
                keep = not (response.will_close or self._closed) and len(self._kept) < _KEPT
                if keep:
                    self._kept.append(connection)
            if not keep:
                connection.close()
            return _Reply(response.status, response.headers, data)

    def _connect(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self.timeout, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self.timeout)
        try:
            connection.connect()
        except ssl.SSLCertVerificationError as error:
            raise _Final(
                f"the certificate of {self.url} is not trusted ({error.verify_message}); give the file of who "
                "signed it with --authority"
            ) from None
        except (OSError, UnicodeError) as error:
            raise NoConnection(
                f"{self.url} cannot be reached ({reason(error)}); is the server running?"
            ) from None
        return connection


class _Final(NoAnswerError):
    """No repeat would help."""


def reason(error: Exception) -> str:
    """The cause of a failed connection, in a few words."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
        return "the other end closed it"
    text = getattr(error, "strerror", None) or str(error)
    return str(text) or type(error).__name__


def _parts(url: str) -> Any:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        port = parts.port
        if (
            parts.scheme in ("http", "https")
            and parts.hostname
            and port != 0
            and not (parts.query or parts.username)
        ):
            return parts
    raise UsageError(f"{url!r} is no server's address; give one such as http://host:8080")


def _context(authority: str | Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{authority} cannot be used to check certificates ({reason(error)}); give a PEM file"
        ) from None


def _retry_after(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0
