"""What a codec's bundle says about it, with the tables that stand outside of its graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.context import MOST
from edgepress.coding.description import Codec
from edgepress.coding.stream import Header
from edgepress.errors import DataError, OtherStreamError, UsageError
from edgepress.runtimes.codec_stream import layout
from edgepress.runtimes.codec_tiles import Reach

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class CodecForm:
    """A codec.

    Attributes:
        name: as its bundle calls it.
        codec: its sizes and rates.
        levels: for each rate float32 ``[latents, values]``: what the integers from ``-highest`` on are decoded to.
    """

    name: str
    codec: Codec
    levels: tuple[Array, ...]

    @property
    def encoder_reach(self) -> Reach:
        """Samples that a tile of the encoder reads."""
        return Reach(*self.codec.encoder_halo, self.codec.factor)

    @property
    def decoder_reach(self) -> Reach:
        """Codes that a tile of the decoder reads."""
        return Reach(*self.codec.decoder_halo, 1)

    def codes(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """How many codes there are along each axis for so many samples."""
        return tuple(-(-extent // self.codec.factor) for extent in extents)

    def rate(self, asked: int | float | None) -> int:
        """The index of the rate that is meant.

        Args:
            asked: an index; or, as a float, bits for each sample position, of which the nearest rate is taken; or None
                for the rate whose step is nearest to 1.

        Raises:
            UsageError: there is no such index, or no such number, or the bits of the rates are not known.
        """
        rates = self.codec.rates
        if asked is None:
            return min(range(len(rates)), key=lambda index: abs(np.log2(rates[index].step)))
        if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
            if not 0 <= asked < len(rates):
                raise UsageError(
                    f"the codec {self.name} has no rate {asked}; it has 0 to {len(rates) - 1} (a number with a point, "
                    "such as 0.5, is bits for each pixel)"
                )
            return int(asked)
        if isinstance(asked, bool) or not isinstance(asked, (float, np.floating)) or not 0 < asked < np.inf:
            raise UsageError(f"rate is {asked!r}; give an index, or bits for each pixel such as 0.5")
        known = {index: rate.bits for index, rate in enumerate(rates) if rate.bits}
        if not known:
            raise UsageError(f"the codec {self.name} does not tell the bits of its rates; give an index")
        return min(known, key=lambda index: abs(np.log2(asked / known[index])))

    def check_channels(self, channels: int, name: str) -> None:
        """Refuse what has other channels than the codec; one serves any, for it can be repeated.

        Raises:
            DataError: so it is.
        """
        if channels not in (1, self.codec.channels):
            raise DataError(
                f"{name} has {channels} channels and the codec {self.name} takes {self.codec.channels}; convert it, "
                "or take another codec"
            )

    def check(self, header: Header) -> None:
        """Refuse a stream that is not this codec's.

        Raises:
            DataError: it is another's, or makes no sense.
        """
        if header.identity != self.codec.identity_bytes:
            raise OtherStreamError(
                f"the stream was made by another codec ({header.identity.hex()}), not by {self.name} "
                f"({self.codec.identity}); decode it with the bundle of that one"
            )
        extents, channels = form_of(header, self.codec.axes)
        sent = (header.channels, header.rows, header.columns)
        if (
            header.rate >= len(self.codec.rates)
            or channels not in (0, 1, self.codec.channels)
            or sent != (self.codec.latents, *layout(self.codes(extents)))
        ):
            raise DataError(
                f"the stream's header does not fit the codec {self.name} that it names; get it again"
            )

    def highest(self, rate: int) -> int:
        """The greatest magnitude of an integer at a rate."""
        return min(self.codec.rates[rate].highest, MOST)

    def restore(self, rate: int, integers: Array, out: Array) -> None:
        """Write what int16 ``[latents, …]`` stand for into float32 ``out``; beyond the levels, the last counts."""
        for levels, given, made in zip(self.levels[rate], integers, out, strict=True):
            places = np.add(given, len(levels) // 2, dtype=np.int32)
            np.take(levels, places, mode="clip", out=made)


def form_of(header: Header, axes: int) -> tuple[tuple[int, ...], int]:
    """The extents of what a stream was made of along the codec's axes, and its channels; 0 where they have no axis.

    Raises:
        DataError: it has other axes.
    """
    shape = header.shape
    if len(shape) == axes:
        return shape, 0
    if len(shape) != axes + 1:
        raise DataError(
            f"the stream holds an array of shape {shape}, which a codec of {axes} axes never makes"
        )
    return (shape[:-1], shape[-1]) if header.kind == "picture" else (shape[1:], shape[0])
