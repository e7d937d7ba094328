"""Learned codecs of the families WaLLoC and LiVeAction, in torch."""

from edgepress.nn.codec.codec import Codec
from edgepress.nn.codec.config import CodecConfig
from edgepress.nn.codec.frozen import FrozenCodec, freeze_codec

__all__ = ["Codec", "CodecConfig", "FrozenCodec", "freeze_codec"]
