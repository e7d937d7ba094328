"""Find the picture codec that a name means: one that comes with Pillow, or a codec's bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgepress.build.listener import Listener
from edgepress.codecs import codec_names, find_codec
from edgepress.errors import UsageError
from edgepress.evaluate.picture_codec import Picture, PictureCodec
from edgepress.evaluate.pillow_codecs import PillowCodec, names
from edgepress.records import near
from edgepress.runtimes.codec_session import CodecSession
from edgepress.runtimes.session import load

_PICTURE_AXES = 2


class BundleCodec:
    """A loaded codec's bundle behind :class:`edgepress.evaluate.picture_codec.PictureCodec`; rates are its indices.

    Args:
        session: of the bundle, on one thread.
        name: what it is called beside others.

    Raises:
        UsageError: it is a codec of recordings or of volumes.
    """

    def __init__(self, session: CodecSession, name: str) -> None:
        if session.codec.axes != _PICTURE_AXES:
            raise UsageError(f"{name} is no codec of pictures: what it codes has {session.codec.axes} axes")
        self.name = name
        self.rates = tuple(range(len(session.codec.rates)))
        self.about = f"bundle {session.bundle.path.name}, engine {session.engine_name}"
        if session.note:
            self.about += f": {session.note}"
        self._session = session

    def encode(self, picture: Picture, rate: float) -> bytes:
        """The whole stream, header and checksums included."""
        return self._session.encode(picture, int(rate))

    def decode(self, stream: bytes) -> Picture:
        """The picture."""
        return np.asarray(self._session.decode(stream))


@contextmanager
def open_codec(
    name: str, listener: Listener | None = None, *, engine: str | None = None, trust: bool = False
) -> Iterator[PictureCodec]:
    """A codec by name, on one thread.

    Args:
        name: a codec that comes with Pillow or with the zoo, or the path of a codec's bundle.
        listener: told of the steps where a codec of the zoo must be built first.
        engine, trust: for bundles, as for :func:`edgepress.load`.

    Raises:
        UsageError: there is no such codec, or the bundle holds none for pictures.
        EdgepressError: the bundle cannot be built or loaded.
    """
    if name in names():
        yield PillowCodec(name)
        return
    known = [*codec_names(), *names()]
    if name not in known and not Path(name).exists():
        raise UsageError(
            f"there is no codec {name!r}{near(name, known)}; give a codec's bundle or one of {', '.join(known)}"
        )
    with load(find_codec(name, listener), engine=engine, trust=trust, threads=1) as session:
        if not isinstance(session, CodecSession):
            raise UsageError(f"{name} holds no codec; edgepress evaluate {name} measures it as a model")
        yield BundleCodec(session, name if name in known else Path(name).stem)
