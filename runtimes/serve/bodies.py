"""Bodies of requests, read within limits: the length that is declared, the bytes that come, the time they take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from edgepress.runtimes.serve.limits import Limits
from edgepress.runtimes.serve.refusal import Left, Refusal

Receive = Callable[[], Awaitable[dict[str, Any]]]

_DISCARDED = 1 << 20  # bytes that are still read of a body that is refused, so that the reply is
_DISCARD_S = 1.0


class Held:
    """The bytes of all bodies in memory, and how many there may be."""

    def __init__(self, most: int) -> None:
        self.most, self.bytes = most, 0

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Counts the bytes of one body, and forgets them when it is done.

        Raises:
            Refusal: 503, there would be too many.
        """
        own = 0

        def add(count: int) -> None:
            nonlocal own
            if self.bytes + count > self.most:
                raise Refusal(503, "the server holds as many bodies as it can; send it again", retry_s=1)
            own += count
            self.bytes += count

        try:
            yield add
        finally:
            self.bytes -= own


def check_head(headers: Mapping[bytes, bytes], limits: Limits) -> None:
    """Refuse a body by what its head says of it.

    Raises:
        Refusal: 400 where its length is none, 413 where it is too large, 415 where it is compressed.
    """
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refusal(415, "the body is compressed by Content-Encoding; send it as it is")
    text = headers.get(b"content-length")
    if text is None:  # it comes in chunks, which are counted
        return
    if not (text.isdigit() and len(text) < 20):
        raise Refusal(400, "the Content-Length is no number of bytes; give the body's")
    if int(text) > limits.largest:
        raise _too_large(f"has {int(text)} bytes", limits)


async def read_body(receive: Receive, limits: Limits, add: Callable[[int], None]) -> bytes:
    """The body of a request.

    Args:
        receive: of ASGI.
        add: counts bytes that are kept, and refuses too many.

    Raises:
        Refusal: 408, 413 or 503.
        Left: the connection ended within it.
    """
    parts: list[bytes] = []
    count = 0
    try:
        async with asyncio.timeout(limits.body_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Left
                part = message.get("body", b"")
                count += len(part)
                if count > limits.largest:
                    raise _too_large("is larger than allowed", limits)
                add(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        sentence = f"the body did not arrive within {limits.body_s:g} s; send it again, faster"
        raise Refusal(408, sentence, close=True) from None


async def discard(receive: Receive) -> None:
    """Read a little on, so that a client that is still sending sees its reply before the connection ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            count = 0
            while count < _DISCARDED:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                count += len(message.get("body", b""))


def _too_large(what: str, limits: Limits) -> Refusal:
    return Refusal(413, f"the body {what}; the server takes at most {limits.largest}")
