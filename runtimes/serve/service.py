"""What a bundle answers: the streams of a split network, or the files that any other network takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgepress.bundle import Bundle, open_bundle
from edgepress.coding.split import SPLIT, Split, read_split
from edgepress.coding.stream import MOST_HEADER, read_header
from edgepress.errors import UsageError
from edgepress.runtimes.serve.refusal import Refusal
from edgepress.runtimes.session import Result, Session, is_codec, load, load_part, pick_part


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
            Refusal: it cannot be; found without running a network.
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
        split = _split(bundle)
        if split is not None and part is None:
            heads = tuple(head for head in split.heads if head in bundle.manifest.parts)
            if not heads:
                raise UsageError(
                    f"{path} holds no server's part ({', '.join(split.heads)}); serve the whole bundle, or that part"
                )
            return SplitService(path, split, heads, loading)
        name = pick_part(bundle, part)
    return FileService(path, name, loading)


class SplitService:
    """The server's part of a split network: streams in."""

    def __init__(self, path: str | Path, split: Split, heads: tuple[str, ...], loading: Loading) -> None:
        self._split = split
        self._session: Any = load(path, engine=loading.engine, trust=loading.trust, threads=loading.threads)
        self.name = self._session.bundle.manifest.name
        self.identity, self.heads, self.note = split.identity, heads, self._session.note

    def check(self, body: bytes) -> int | None:
        """See :class:`Service`."""
        header = read_header(body[:MOST_HEADER])
        if header.identity != self._split.identity_bytes:
            raise Refusal(
                409,
                f"the stream is of {header.identity.hex()}, and this server answers {self.identity} "
                f"({self.name}); take the device's part of the bundle that is served",
            )
        return header.rate

    def answer(self, question: Question) -> Result:
        """See :class:`Service`."""
        found: Result = self._session.answer(question.body, question.head, question.top)
        return found

    def close(self) -> None:
        """See :class:`Service`."""
        self._session.close()


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
        for golden, _ in self._session.bundle.golden(part)[:1]:
            self._session.run_tensors(golden)  # the first run takes longer: not a client's

    def check(self, body: bytes) -> int | None:
        """See :class:`Service`."""
        if not body:
            raise Refusal(400, "the body is empty; send the input's file")
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


def _split(bundle: Bundle) -> Split | None:
    """Of the first part that has one."""
    for part in bundle.manifest.parts.values():
        if SPLIT in part.tables:
            return read_split(bundle.member(part.tables[SPLIT]), str(bundle.path))
    return None
