"""Requests that are not answered: a status, a sentence, and what the client should do."""

from __future__ import annotations

from edgepress.errors import DataError, EdgepressError, OtherStreamError


class Refusal(Exception):
    """A request that gets an error.

    Args:
        status: of HTTP, 400 and above.
        sentence: the cause and the mend, for people.
        retry_s: after how many seconds the same request may succeed; None where it will not.
        close: whether the connection ends with the reply.
        allow: the methods that the path takes.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        retry_s: int | None = None,
        close: bool = False,
        allow: str = "",
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
        self.retry_s, self.close, self.allow = retry_s, close, allow

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the reply says beside its body."""
        found = []
        if self.retry_s is not None:
            found.append((b"retry-after", str(self.retry_s).encode()))
        if self.allow:
            found.append((b"allow", self.allow.encode()))
        if self.status == 401:
            found.append((b"www-authenticate", b'Bearer realm="edgepress"'))
        if self.close:
            found.append((b"connection", b"close"))
        return found


class Left(Exception):
    """The client went away before it was answered."""


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an exception: the sentence of one about its body, and no more than that of another."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OtherStreamError):
        return Refusal(409, str(error))
    if isinstance(error, DataError):
        return Refusal(400, str(error))
    if isinstance(error, EdgepressError):
        return Refusal(500, "the server could not run the model; its log says why")
    return Refusal(500, "the server failed unexpectedly; its log says why")
