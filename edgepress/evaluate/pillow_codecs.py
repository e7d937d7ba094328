"""The picture codecs that come with Pillow: JPEG, WebP, AVIF, JPEG 2000. Their settings are in the table beside."""

from __future__ import annotations

import io
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from edgepress.errors import DataError, MissingExtraError, UsageError
from edgepress.evaluate.picture_codec import Picture
from edgepress.records import decode, near


@dataclass(frozen=True)
class Settings:
    """What a codec is told; see ``pillow_codecs.toml``."""

    format: str
    feature: str
    rate: str
    rates: tuple[float, ...]
    library: str
    about: str
    save: dict[str, Any]
    small_rates: tuple[float, ...] = ()


class PillowCodec:
    """One of Pillow's codecs behind :class:`edgepress.evaluate.picture_codec.PictureCodec`.

    Args:
        name: one of :func:`names`.

    Raises:
        UsageError: there is no such codec, or the installed Pillow was built without it.
        MissingExtraError: Pillow is not installed.
    """

    def __init__(self, name: str) -> None:
        if name not in table():
            raise UsageError(
                f"there is no codec {name!r}{near(name, names())}; Pillow has {', '.join(names())}"
            )
        self.name = name
        self._settings = table()[name]
        self.rates = self._settings.rates
        self.about = f"{self._settings.about}; {_built_with(name, self._settings)}"
        self._threads = _one_thread if self._settings.format == "AVIF" else nullcontext

    def encode(self, picture: Picture, rate: float) -> bytes:
        """The bytes of a file; arguments and errors as the protocol says."""
        from PIL import Image

        settings = self._settings
        # Quality is a whole number; JPEG 2000 takes a list of ratios, one a layer.
        told = [rate] if settings.rate == "quality_layers" else int(rate)
        file = io.BytesIO()
        try:
            Image.fromarray(picture).save(file, settings.format, **{settings.rate: told, **settings.save})
        except (OSError, ValueError) as error:
            rows, columns = picture.shape[:2]
            raise DataError(f"{self.name} does not take a picture of {columns} x {rows} ({error})") from None
        return file.getvalue()

    def decode(self, stream: bytes) -> Picture:
        """Every sample: Pillow alone would wait until one is asked for."""
        from PIL import Image

        try:
            with self._threads():
                picture = Image.open(io.BytesIO(stream), formats=[self._settings.format])
                picture.load()
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{self.name} cannot decode its stream ({error})") from None
        return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def names() -> list[str]:
    """The names of the codecs, whether the installed Pillow has them or not."""
    return list(table())


@cache
def table() -> dict[str, Settings]:
    """Name to settings, in the order of the table."""
    text = resources.files("edgepress.evaluate").joinpath("pillow_codecs.toml").read_text(encoding="utf-8")
    return {name: decode(Settings, data, name) for name, data in tomllib.loads(text).items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """AVIF's decoder takes one a processor unless a global of its module says otherwise; the others have one."""
    from PIL import AvifImagePlugin

    before = AvifImagePlugin.DEFAULT_MAX_THREADS
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        yield
    finally:
        AvifImagePlugin.DEFAULT_MAX_THREADS = before


def _built_with(name: str, settings: Settings) -> str:
    """The library behind the codec and its version.

    Raises:
        MissingExtraError, UsageError: there is none.
    """
    try:
        import PIL
        from PIL import features
    except ImportError:
        raise MissingExtraError(f"measuring {name}", "pillow", "") from None
    if settings.feature not in [
        *features.modules,
        *features.codecs,
        *features.features,
    ] or not features.check(settings.feature):
        raise UsageError(
            f"the installed Pillow {PIL.__version__} was built without {name}; install another build of it "
            "(pip install --upgrade pillow), or leave it out of --against"
        )
    return f"Pillow {PIL.__version__}, {settings.library} {features.version(settings.feature)}"
