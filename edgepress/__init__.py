"""edgepress takes a model and a board's name and gives one file that runs there.

>>> import edgepress
>>> session = edgepress.load("efficientnet-lite0-rpi4.edge")  # doctest: +SKIP
>>> session.run("photo.jpg").labels[0].name                   # doctest: +SKIP
'tabby'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgepress.errors import EdgepressError
from edgepress.version import __version__

if TYPE_CHECKING:
    from edgepress.build import build
    from edgepress.recipe import Recipe
    from edgepress.runtimes.codec_session import CodecSession
    from edgepress.runtimes.session import Result, Session, load
    from edgepress.runtimes.split_session import SplitSession

__all__ = [
    "CodecSession", "EdgepressError", "Recipe", "Result", "Session", "SplitSession", "__version__", "build", "load",
]  # fmt: skip

_HOMES = {
    "build": "edgepress.build",
    "CodecSession": "edgepress.runtimes.codec_session",
    "Recipe": "edgepress.recipe",
    "Result": "edgepress.runtimes.session",
    "Session": "edgepress.runtimes.session",
    "SplitSession": "edgepress.runtimes.split_session",
    "load": "edgepress.runtimes.session",
}


def __getattr__(name: str) -> Any:
    """Names are imported when they are first used, so that a bare import stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgepress' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
