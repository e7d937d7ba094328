"""Learned codecs of the families WaLLoC and LiVeAction, in torch."""

from edgepress.nn.codec.codec import Codec
from edgepress.nn.codec.config import CodecConfig

__all__ = ["Codec", "CodecConfig"]
