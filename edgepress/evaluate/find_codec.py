"""Find the picture codec that a name means."""

from __future__ import annotations

from edgepress.evaluate.picture_codec import PictureCodec
from edgepress.evaluate.pillow_codecs import PillowCodec


def find_codec(name: str) -> PictureCodec:
    """One of Pillow's codecs.

    Raises:
        UsageError: there is no such codec.
    """
    return PillowCodec(name)
