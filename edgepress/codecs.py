"""Which bundle a codec's name, or a stream's identity, means."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from edgepress import zoo
from edgepress.bundle import open_bundle
from edgepress.errors import BundleError, EdgepressError, MissingExtraError, UsageError
from edgepress.paths import cache_dir
from edgepress.records import near
from edgepress.version import __version__

if TYPE_CHECKING:
    from edgepress.build import Listener


def find_codec(text: str, listener: Listener | None = None) -> Path:
    """The bundle that is meant.

    Args:
        text: a bundle's path, or the name of one of the zoo's codecs, which is built for this machine when it is first
            used, and kept in the cache.
        listener: told of the steps of that build.

    Raises:
        MissingExtraError: the codec is not built yet, and torch is not installed.
        UsageError: there is no such file and no such codec.
        EdgepressError: the build fails.
    """
    path = Path(text)
    if path.exists() or path.suffix == ".edge":
        return path
    names = codec_names()
    if text not in names:
        raise UsageError(
            f"there is no file {text!r}, and the zoo has no such codec{near(text, names)}; it has "
            f"{', '.join(names) or 'none'}"
        )
    kept = _place(text)
    if _identity(kept) is None:
        _build(text, kept, listener)
    return kept


def codec_names() -> list[str]:
    """The codecs of the zoo, sorted."""
    return [name for name in zoo.names() if zoo.entry(name).codec is not None]


def codec_of_stream(identity: bytes) -> Path | None:
    """The bundle of the codec that made a stream, where it is one of the zoo's that was built here; else None."""
    return next((path for path in map(_place, codec_names()) if _identity(path) == identity), None)


def _identity(path: Path) -> bytes | None:
    """A codec's identity by its bundle; None where there is none, or a damaged one."""
    try:
        with open_bundle(path) as bundle:
            codec = bundle.codec(next(iter(bundle.manifest.parts)))
    except BundleError:
        return None
    return codec.identity_bytes if codec is not None else None


def _place(name: str) -> Path:
    """Where the built bundle of a codec is kept; another version of codec or edgepress has another place."""
    digest = hashlib.sha256(f"{__version__} {zoo.entry(name).digest()}".encode()).hexdigest()
    return cache_dir() / "codecs" / f"{name}-{digest[:16]}.edge"


def _build(name: str, path: Path, listener: Listener | None) -> None:
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError(
            f"the codec {name} is not built here yet, and building it (or: edgepress build {name} on another computer, "
            "and --codec FILE)", "torch", "build",
        )  # fmt: skip
    from edgepress.build import build
    from edgepress.recipe import Recipe

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgepressError(f"{path.parent} cannot be made ({error.strerror})") from None
    build(Recipe(model=name, target="host", on="local", output=str(path)), listener)
