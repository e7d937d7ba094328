"""What a bundle answers: the streams of a split network, or the files that any other network takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgepress.bundle import open_bundle
from edgepress.errors import DataError, UsageError
from edgepress.runtimes.session import Result, Session, is_codec, is_split, load, load_part, pick_part
from edgepress.runtimes.split_session import SplitSession


@dataclass(frozen=True)
class Question:
    """What a worker is asked.

    Attributes:
        body: a stream or a file.
        head: which of the heads.
        top: how many classes to name.
    """

    body: bytes
    head: str
    top: int


@dataclass(frozen=True)
class Loading:
    """How a bundle is loaded; see :func:`edgepress.load`."""

    engine: str | None = None
    trust: bool = False
    threads: int = 1


class Service(Protocol):
    """What the application knows of a bundle.

    Attributes:
        name: of the bundle.
        identity: of the streams it takes, or of the bundle.
        heads: what can be asked for, the first where nothing is said.
        note: which engine runs, where it is not the one that was chosen; else empty.
    """

    name: str
    identity: str
    heads: tuple[str, ...]
    note: str

    def check(self, body: bytes) -> int | None:
        """The rate of a body that can be answered, where it has one.

        Raises:
            DataError: it cannot be; found without running a network.
        """
        ...

    def answer(self, question: Question) -> Result:
        """Run the network.

        Raises:
            DataError: the body is damaged.
        """
        ...

    def close(self) -> None:
        """Let everything go."""
        ...


def open_service(path: str | Path, part: str | None, loading: Loading) -> Service:
    """Load a bundle to be served; one for each worker.

    Args:
        path: the bundle.
        part: which part of one that is not split; needed only where there are several.
        loading: how.

    Raises:
        BundleError: the file is damaged, or is no bundle.
        UsageError: the bundle holds nothing that can be served.
    """
    with open_bundle(path) as bundle:
        if is_codec(bundle):
            raise UsageError(f"{path} is a codec, which has no answers; serve a network or a split one")
        if part is None and is_split(bundle):
            return SplitService(path, loading)
        name = pick_part(bundle, part)
    return FileService(path, name, loading)


class SplitService:
    """The server's part of a split network: streams in."""

    def __init__(self, path: str | Path, loading: Loading) -> None:
        session = load(path, engine=loading.engine, trust=loading.trust, threads=loading.threads)
        assert isinstance(session, SplitSession)
        self._session = session
        self.name, self.identity, self.note = session.name, session.split.identity, session.note
        self.heads = tuple(head for head in session.split.heads if head in session.bundle.manifest.parts)
        if not self.heads:
            session.close()
            raise UsageError(
                f"{path} holds the device's part alone; serve the whole bundle or its server's part"
            )
        self._warm()

    def check(self, body: bytes) -> int | None:
        """See :class:`Service`."""
        return self._session.header(body).rate

    def answer(self, question: Question) -> Result:
        """See :class:`Service`."""
        return self._session.answer(question.body, question.head, question.top)

    def close(self) -> None:
        """See :class:`Service`."""
        self._session.close()

    def _warm(self) -> None:
        """Answer once at each rate: what is started by it should be no client's wait."""
        split = self._session.split
        nothing = np.zeros((split.latents, split.rows, split.columns), np.int16)
        for rate in range(len(split.rates)):
            stream = self._session.stream(nothing, rate)
            for head in self.heads:
                self._session.answer(stream, head)


class FileService:
    """Any other network: the file of its one input in."""

    def __init__(self, path: str | Path, part: str, loading: Loading) -> None:
        self._session: Session = load_part(
            path, part=part, engine=loading.engine, trust=loading.trust, threads=loading.threads
        )
        inputs = self._session.part.inputs
        if len(inputs) != 1:
            self._session.close()
            raise UsageError(
                f"{path} has {len(inputs)} inputs, and a request brings one file; serve a network of one input"
            )
        self.name, self.identity = self._session.bundle.manifest.name, self._session.bundle.identity
        self.heads: tuple[str, ...] = (part,)
        self.note = self._session.note
        for example, _ in self._session.bundle.golden(part)[:1]:
            self._session.run_tensors(example)  # the first run takes longer, and should be no client's wait

    def check(self, body: bytes) -> int | None:
        """See :class:`Service`."""
        if not body:
            raise DataError("the body is empty; send the input's file")
        return None

    def answer(self, question: Question) -> Result:
        """See :class:`Service`."""
        return self._session.run(question.body, question.top)

    def close(self) -> None:
        """See :class:`Service`."""
        self._session.close()


def open_services(opener: Callable[[], Service], count: int) -> list[Service]:
    """So many of them; those that were opened are closed where one cannot be."""
    found: list[Service] = []
    try:
        for _ in range(count):
            found.append(opener())
    except BaseException:
        for service in found:
            service.close()
        raise
    return found
