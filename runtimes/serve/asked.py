"""What a request asks: its path, its query, its headers, its number."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from edgepress.records import near
from edgepress.runtimes.serve.refusal import Refusal
from edgepress.runtimes.serve.replies import TENSOR

MOST_TOP = 1000
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_UNREAD = 1 << 16  # bytes of a body that is not wanted, up to which the connection is worth keeping


@dataclass
class Asked:
    """A request's head.

    Attributes:
        method, path: of the request.
        headers: by name in small letters; of those that come several times, the last.
        query: the part of the target behind the question mark.
        peer: the client's address.
        number: ``X-Request-Id``, or a fresh one.
        since: when it came, on the monotonic clock.
        body: bytes of the body, once it is read; None before.
        rate: of the stream; None where there is none.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    query: bytes
    peer: str
    number: str
    since: float = field(default_factory=time.monotonic)
    body: int | None = None
    rate: int | None = None

    @property
    def tensor(self) -> bool:
        """Whether the first output is asked for in place of JSON."""
        return TENSOR in self.headers.get(b"accept", b"")

    @property
    def unread(self) -> bool:
        """Whether there is a body, not read, that is too long to be read for the connection's sake."""
        if self.body is not None:
            return False
        length = self.headers.get(b"content-length", b"")
        return b"transfer-encoding" in self.headers or (length.isdigit() and int(length[:20]) > _UNREAD)

    def head_and_top(self, heads: tuple[str, ...]) -> tuple[str, int]:
        """Which head is asked, and for how many classes.

        Raises:
            Refusal: 400 or 404, the query cannot be answered.
        """
        try:
            pairs = parse_qsl(
                self.query.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(self.query),
                max_num_fields=8,
            )
        except ValueError:
            raise Refusal(400, "the query cannot be read; give ?head=NAME&top=5") from None
        query = dict(pairs)
        for name in query:
            if name not in ("head", "top"):
                raise Refusal(400, f"the query has an unknown key {name[:40]!r}; it takes head and top")
        head = query.get("head", heads[0])
        if head not in heads:
            raise Refusal(404, f"no head {head[:40]!r}{near(head[:40], heads)}; it has {', '.join(heads)}")
        text = query.get("top", "5")
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_TOP):
            raise Refusal(400, f"top is {text[:40]!r}; give a number from 1 to {MOST_TOP}")
        return head, int(text)


def asked(scope: Mapping[str, Any]) -> Asked:
    """The head of an ASGI request."""
    headers = dict(scope["headers"])
    given = headers.get(b"x-request-id", b"")
    client = scope.get("client")
    return Asked(
        method=scope["method"],
        path=scope["path"],
        headers=headers,
        query=scope["query_string"],
        peer=f"{client[0]}:{client[1]}" if client else "",
        number=given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex,
    )
