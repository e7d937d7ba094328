"""What a codec's bundle says about it: its sizes, its rates, and the tables that stand outside of its graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import UsageError
from edgepress.runtimes.codec_tiles import Reach

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rate:
    """One of a codec's rates.

    Attributes:
        step: what codes are divided by before they are rounded.
        bits: about so many for each sample position (pixel), where that was measured; else None.
    """

    step: float
    bits: float | None = None


@dataclass(frozen=True, eq=False)
class CodecForm:
    """A codec.

    Attributes:
        name: as its bundle calls it.
        identity: 16 bytes that its streams begin with.
        axes: 1 for recordings, 2 for pictures, 3 for volumes.
        channels: of what it encodes.
        factor: samples along each axis for one code.
        latents: channels of the codes.
        rates: from the most bits to the fewest.
        lowest: for each rate, the integer that the first entry of its levels stands for.
        levels: for each rate float32 ``[latents, entries]``: what an integer is decoded to.
        encoder_reach: samples that a tile of the encoder reads.
        decoder_reach: codes that a tile of the decoder reads.
    """

    name: str
    identity: bytes
    axes: int
    channels: int
    factor: int
    latents: int
    rates: tuple[Rate, ...]
    lowest: tuple[int, ...]
    levels: tuple[Array, ...]
    encoder_reach: Reach
    decoder_reach: Reach

    def codes(self, extents: tuple[int, ...]) -> tuple[int, ...]:
        """How many codes there are along each axis for so many samples."""
        return tuple(-(-extent // self.factor) for extent in extents)

    def rate(self, asked: int | float | None) -> int:
        """The index of the rate that is meant: an index, or bits for each pixel as a float, to the nearest.

        Raises:
            UsageError: there is no such index, or no such number.
        """
        if asked is None:
            return min(range(len(self.rates)), key=lambda index: abs(np.log2(self.rates[index].step)))
        if isinstance(asked, (int, np.integer)) and not isinstance(asked, bool):
            if not 0 <= asked < len(self.rates):
                raise UsageError(
                    f"the codec {self.name} has no rate {asked}; its rates are 0 to {len(self.rates) - 1} (a number "
                    "with a point, such as 0.5, is bits for each pixel)"
                )
            return int(asked)
        if isinstance(asked, bool) or not isinstance(asked, (float, np.floating)) or not 0 < asked < np.inf:
            raise UsageError(f"rate is {asked!r}; give an index, or bits for each pixel such as 0.5")
        known = {index: rate.bits for index, rate in enumerate(self.rates) if rate.bits}
        if not known:
            raise UsageError(f"the codec {self.name} does not tell the bits of its rates; give an index")
        return min(known, key=lambda index: abs(np.log2(asked / known[index])))

    def values(self, rate: int, integers: Array, out: Array) -> None:
        """What integers ``[latents, …]`` are decoded to, into float32 ``out``; those beyond the levels count as the last."""
        for levels, given, made in zip(self.levels[rate], integers, out, strict=True):
            places = np.subtract(given, self.lowest[rate], dtype=np.int32)
            np.take(levels, places, mode="clip", out=made)
