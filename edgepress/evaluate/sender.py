"""What answers for a picture that a device took, whoever makes it: a split network, a picture codec before the teacher,
or a whole network on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from edgepress import zoo
from edgepress.coding import split
from edgepress.errors import UsageError
from edgepress.evaluate.bundle import scores_of
from edgepress.evaluate.picture_codec import Picture
from edgepress.evaluate.pillow_codecs import PillowCodec, names, table
from edgepress.evaluate.teacher import Teacher
from edgepress.records import near
from edgepress.runtimes.session import Result, Session, load
from edgepress.runtimes.split_session import SplitSession

WHOLE = "device"
"""The name of the whole teacher on the device."""


class Sender(Protocol):
    """Takes a picture to an answer, at several rates.

    Attributes:
        name: as on the command line.
        about: its settings in words, which stand beside its figures.
        rates: what it can be asked for, from the fewest bytes to the most.
        session: of its bundle; None where it has none of its own.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def rates(self) -> Sequence[float]: ...

    @property
    def session(self) -> Session | None: ...

    def answer(self, picture: Picture, rate: float) -> tuple[int, int]:
        """What is sent for a picture, and what comes of it.

        Args:
            picture: as it was taken, uint8 ``[rows, columns, 3]``.
            rate: one of ``rates``.

        Returns:
            The bytes of all that the device sends, and the index of the first class of the answer.
        """
        ...


class SplitSender:
    """A split network's bundle, both parts in this process; rates are its indices.

    Args:
        session: of the bundle.
        name: what it is called beside others.
    """

    def __init__(self, session: SplitSession, name: str) -> None:
        self.name, self.session = name, session
        self.rates = tuple(range(len(session.split.rates)))
        self.about = f"bundle {session.bundle.path.name}, engine {session.engine_name}"
        if session.note:
            self.about += f": {session.note}"

    def answer(self, picture: Picture, rate: float) -> tuple[int, int]:
        """Through the whole stream, header and checksums included."""
        stream = self.session.encode(picture, int(rate))
        return len(stream), _first(self.session.answer(stream, count=1), self.name)


class CodecSender:
    """A picture codec for the pixels that the teacher looks at, and the teacher behind it.

    Args:
        codec: one that comes with Pillow.
        teacher: on the server.
    """

    session = None

    def __init__(self, codec: PillowCodec, teacher: Teacher) -> None:
        self.name = codec.name
        self.rates = table()[codec.name].small_rates or codec.rates
        self.about = f"{teacher.columns} x {teacher.rows} pixels; {codec.about}"
        self._codec, self.teacher = codec, teacher

    def answer(self, picture: Picture, rate: float) -> tuple[int, int]:
        """Through the whole file."""
        file = self._codec.encode(self.teacher.crop(picture), rate)
        return len(file), self.teacher.label_of_crop(self._codec.decode(file))


class WholeSender:
    """A whole network on the device, which sends nothing.

    Args:
        session: of the network.
        name: what it is called beside others.
    """

    rates = (0.0,)

    def __init__(self, session: Session, name: str) -> None:
        self.name, self.session = name, session
        self.about = (
            f"the whole network on the device: {session.bundle.path.name}, engine {session.engine_name}"
        )

    def answer(self, picture: Picture, rate: float) -> tuple[int, int]:
        """Nothing is sent."""
        return 0, _first(self.session.run(picture, 1), self.name)


@contextmanager
def open_sender(
    name: str, teacher: Teacher, *, engine: str | None = None, trust: bool = False
) -> Iterator[Sender]:
    """A sender by name, on one thread.

    Args:
        name: a codec that comes with Pillow, ``device`` for the whole teacher, or the path of a bundle: of a split
            network, or of a whole one, which is then run on the device.
        teacher: behind the codecs.
        engine, trust: for bundles, as for :func:`edgepress.load`.

    Raises:
        UsageError: there is no such sender, or the bundle names no classes.
        EdgepressError: the bundle cannot be loaded.
    """
    if name in names():
        yield CodecSender(PillowCodec(name), teacher)
    elif name == WHOLE:
        yield WholeSender(teacher.session, name)
    elif not Path(name).exists():
        known = [*names(), WHOLE]
        raise UsageError(
            f"there is no {name!r}{near(name, known)}; give a bundle or one of {', '.join(known)}"
        )
    else:
        with load(name, engine=engine, trust=trust, threads=1) as session:
            stem = Path(name).stem
            if isinstance(session, SplitSession):
                for part in (split.DEVICE, split.SERVER):
                    session.network(part)  # which says what is missing
                yield SplitSender(session, stem)
            elif scores_of(session)[0]:
                yield WholeSender(session, stem)
            else:
                raise UsageError(f"{name} scores no classes; give a split network or a classifier")


def teacher_of(name: str) -> str:
    """The teacher that a split network's bundle names, where the zoo has it.

    Raises:
        UsageError: it names none that can be found.
    """
    if name in names():
        return zoo.DEFAULT
    with load(name) as session:
        known = session.split.teacher if isinstance(session, SplitSession) else ""
    if known not in zoo.names():
        said = f"its teacher is {known!r}" if known else "it is no split network"
        raise UsageError(f"whose answers are right for {name}? {said}; name it with --teacher NAME|BUNDLE")
    return known


def _first(result: Result, name: str) -> int:
    """The index of the first class.

    Raises:
        UsageError: there are no class scores.
    """
    if not result.labels:
        raise UsageError(f"{name} scores no classes, so there is no agreement to count")
    return result.labels[0].index
