"""A bundle on a device whose answers come from a server, and from the device itself when the server gives none."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from edgepress.bundle import Part
from edgepress.coding.split import DEVICE, LOCAL, SERVER
from edgepress.errors import DataError, NoAnswerError, UsageError
from edgepress.inputs import TextInput, Value, read_value
from edgepress.runtimes.bearer import find_token
from edgepress.runtimes.session import Result, load_to_run
from edgepress.runtimes.split_client import SplitClient
from edgepress.runtimes.split_session import SplitSession

_FIRST_REST_S, _LONGEST_REST_S = 2.0, 30.0


@dataclass(frozen=True)
class ServedResult(Result):
    """A result, and what its road was like.

    Attributes:
        sent: bytes of the stream or the file; 0 where nothing was sent.
        seconds: from the value to the result.
        server_ms: of them in the server, as it says; None where it did not answer.
        tries: how often the server was asked.
    """

    sent: int = 0
    seconds: float = 0.0
    server_ms: float | None = None
    tries: int = 0


class Rest:
    """How long a server that gave no answer is left alone: twice as long each time, until it answers again."""

    def __init__(self, first_s: float = _FIRST_REST_S, most_s: float = _LONGEST_REST_S) -> None:
        self._first, self._most = first_s, most_s
        self._length = 0.0
        self._until = 0.0
        self._lock = threading.Lock()

    def may_ask(self) -> bool:
        """Whether the server should be asked; of several threads the first asks alone when a rest is over."""
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                return False
            if self._length:
                self._until = now + self._length
            return True

    def failed(self) -> None:
        """It gave no answer."""
        with self._lock:
            self._length = min(self._most, 2 * self._length or self._first)
            self._until = time.monotonic() + self._length

    def worked(self) -> None:
        """It answered."""
        with self._lock:
            self._length = self._until = 0.0


class ServedSession:
    """A loaded bundle that a server answers for; several threads may use it, and one connection serves many runs.

    A split network encodes here, and its stream is sent; of any other bundle the input's file is sent as it is. When
    no answer comes, the part ``local`` answers, or, where the bundle has all it takes, the network itself; for a while
    after that the server is not even asked.

    Attributes:
        server: its address.
        note: which engine runs here, where it is not the one that was chosen; else empty.

    Args and errors are those of :func:`edgepress.load`.
    """

    def __init__(
        self, path: str | Path, server: str, *, part: str | None = None, engine: str | None = None,
        trust: bool = False, threads: int | None = None, token: str = "", timeout: float = 10.0,
        fallback: bool = True, authority: str | Path | None = None,
    ) -> None:  # fmt: skip
        self.server = server
        self._client = SplitClient(server, token or find_token(), timeout, authority)
        self._rest, self._fallback = Rest(), fallback
        self._session = load_to_run(path, part=part, engine=engine, trust=trust, threads=threads)
        self.note = self._session.note
        self._split = self._session if isinstance(self._session, SplitSession) else None
        if self._split is None and len(self.part.inputs) != 1:
            self.close()
            raise UsageError(
                f"{path} has {len(self.part.inputs)} inputs, and a server takes one file; run it here"
            )

    @property
    def is_split(self) -> bool:
        """Whether streams are sent, and no files."""
        return self._split is not None

    @property
    def part(self) -> Part:
        """What the input is made for."""
        return self._session.part

    @property
    def part_name(self) -> str:
        """Its name."""
        return self._session.part_name

    @property
    def engine_name(self) -> str:
        """What runs it here."""
        return self._session.engine_name

    def run(
        self, value: Value | Mapping[str, Value], count: int = 5, *, rate: int | None = None, head: str = "",
        tensor: bool = False, timeout: float | None = None,
    ) -> ServedResult:  # fmt: skip
        """Have a value answered.

        Args:
            value: what the input is made from; not an array where the whole file is sent.
            count: how many classes to name.
            rate: of a split network; see :meth:`~edgepress.runtimes.split_session.SplitSession.encode`.
            head: which of the server's heads; empty takes the first.
            tensor: ask the server for the first output in place of the classes.
            timeout: seconds in place of the session's own.

        Returns:
            Whose ``where`` is ``server``, ``local`` for the part of that name, or ``device`` for the whole network
            here, and whose ``note`` says why. Of what the server answered, ``outputs`` is empty unless ``tensor``.

        Raises:
            DataError: the value is damaged, or the server says so.
            NoAnswerError: no answer in time, and nothing here can answer or may.
            UsageError: the server refuses the token or the question.
        """
        begun = time.monotonic()
        given = self._given(value)
        here = self._fallback and self._answers_here(head)
        if here and not self._rest.may_ask():
            note = f"the server {self.server} was not asked, for it gave no answer shortly before"
            return self._here(given, count, rate, head, note, begun)
        body = self.body(given, rate)
        try:
            answer = self._client.answer(
                body, head=head, top=count, tensor=tensor, timeout=timeout, persistent=not here
            )
        except NoAnswerError as error:
            if not here:
                raise
            self._rest.failed()
            return replace(self._here(given, count, rate, head, str(error), begun), sent=len(body), tries=1)
        self._rest.worked()
        note = f"answered at try {answer.tries}" if answer.tries > 1 else ""
        return ServedResult(
            answer.outputs, answer.labels, "server", note, len(body), time.monotonic() - begun, answer.server_ms,
            answer.tries,
        )  # fmt: skip

    def body(self, value: Value, rate: int | None = None) -> bytes:
        """What is sent of a value; arguments and errors as for :meth:`run`."""
        if self._split is not None:
            return self._split.encode(value, rate)
        if isinstance(value, np.ndarray):
            raise DataError("a server takes a file and no array; save it, or give a split network's bundle")
        if isinstance(value, str) and isinstance(next(iter(self.part.prepare.values())), TextInput):
            return value.encode()
        return read_value(value)[0]

    def _given(self, value: Value | Mapping[str, Value]) -> Value:
        """The one value; of an open file its bytes, which may be needed twice."""
        if isinstance(value, Mapping):
            name = self.part.inputs[0].name
            if list(value) != [name]:
                raise DataError(f"the model takes {name}; give that alone")
            value = value[name]
        if isinstance(value, (str, Path, bytes, bytearray, memoryview, np.ndarray)):
            return value
        return read_value(value)[0]

    def _answers_here(self, head: str) -> bool:
        if self._split is None:
            return True
        parts, asked = self._split.bundle.manifest.parts, head or SERVER
        return (asked == SERVER and LOCAL in parts) or {DEVICE, asked} <= set(parts)

    def _here(
        self, value: Value, count: int, rate: int | None, head: str, note: str, begun: float
    ) -> ServedResult:
        asked, where = head or SERVER, "device"
        if self._split is None:
            found = self._session.run(value, count)
        elif asked == SERVER and LOCAL in self._split.bundle.manifest.parts:
            found, where = self._split.network(LOCAL).run(value, count), LOCAL
        else:
            found = self._split.run(value, count, rate=rate, head=asked)
        return ServedResult(found.outputs, found.labels, where, note, 0, time.monotonic() - begun)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections and let everything go; closing twice does nothing more."""
        self._client.close()
        self._session.close()
