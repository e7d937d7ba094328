"""What a codec's bundle says of the codec: the record that both ends read, and the tables that lie beside it.

A bundle of a codec has the parts ``encoder`` and ``decoder``. Each part's ``tables`` name, and :func:`table_names`
lists, the same members, so that either part can be taken out alone::

    codec        codec/codec.json     a Codec, as JSON
    levels       codec/levels.bin     float32, little-endian: for each rate [latents, values of that rate]
    model.0 …    codec/model.0.bin    one a rate: the integers' probabilities, as edgepress.coding writes them

Roads (``f`` the factor, ``s`` a rate's step; every axis alike)::

    samples ─ pad ─► encoder ─► codes ─ rint(codes / s) ─► integers ─► stream
    stream ─► integers ─ levels[channel][integer + highest] ─ pad ─► decoder ─► samples

- *encoder*: float32 ``[1, channels, *(tile + before + after)]`` → codes, float32 ``[1, latents, *(tile / f)]``. What is
  encoded is first brought up to multiples of ``f`` by repeating its edge, then padded by ``before`` and ``after``
  samples of whole-sample reflection (NumPy's ``reflect``).
- *integers*: ``rint(codes / s)``, in float32, int16, from −highest to highest.
- *decoder*: float32 ``[1, latents + 1, *(tile / f + before + after)]`` → samples, float32 ``[1, channels, *tile]``. The
  last channel is the rate's ``plane`` everywhere. Latents beyond the border: backwards without the first
  again in front, backwards with the last again behind, with the period ``2 · size − 1``.

A part's inputs in the manifest are those of one tile. Its graphs take any size where :attr:`Codec.any_size` says so
(the aot engine takes the tile alone).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import BundleError
from edgepress.records import RecordError, decode, encode

ENCODER, DECODER = "encoder", "decoder"
DESCRIPTION, LEVELS = "codec", "levels"
MOST_RATES = 64
MOST_AXES = 3
HIGHEST = 1 << 14
_LARGEST = 1 << 20
_MOST_CHANNELS = 1 << 16
_MOST_SAMPLES = 1 << 32

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Rate:
    """One of a codec's rates.

    Attributes:
        step: what codes are divided by before they are rounded.
        highest: integers lie from ``−highest`` to ``highest``; each has its level.
        plane: the value of the decoder's last channel.
        bits: for each sample position (a pixel, whatever its channels), as measured in training; None if unknown.
        psnr: in dB, as measured in training; None where unknown.
    """

    step: float
    highest: int
    plane: float
    bits: float | None = None
    psnr: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step) and self.step > 0 and math.isfinite(self.plane)):
            raise ValueError(f"a rate has the step {self.step} and the plane {self.plane}")
        if not 1 <= self.highest <= HIGHEST:
            raise ValueError(f"a rate's integers go to {self.highest}; 1 to {HIGHEST} is possible")

    @property
    def values(self) -> int:
        """How many levels each latent channel has."""
        return 2 * self.highest + 1


@dataclass(frozen=True)
class Codec:
    """A codec.

    Attributes:
        kind: its architecture.
        content: what it encodes: pictures (8-bit, samples are ``x / 127.5 − 1``), recordings or arrays (samples are
            what they are, −1 to 1).
        axes: how many axes are transformed: 1 for samples in time, 2 for rows and columns, 3 for volumes.
        channels, latents: of samples and of codes.
        factor: samples of an axis for each code.
        encoder_halo: samples that the encoder reads before and after a tile.
        decoder_halo: codes that the decoder reads before and after a tile.
        encoder_tile, decoder_tile: samples of a tile, by axis; multiples of the factor.
        rates: coarse or fine, in the order in which streams count them.
        identity: 32 hexadecimal digits, equal where streams can be exchanged: of tables, levels and networks.
        any_size: whether graphs take any multiple of the factor in place of a tile.
        encoder_macs, decoder_macs: multiply-adds for each sample position, halos not counted.
    """

    kind: Literal["walloc", "liveaction"]
    content: Literal["picture", "recording", "array"]
    axes: int
    channels: int
    latents: int
    factor: int
    encoder_halo: tuple[int, int]
    decoder_halo: tuple[int, int]
    encoder_tile: tuple[int, ...]
    decoder_tile: tuple[int, ...]
    rates: tuple[Rate, ...]
    identity: str
    any_size: bool = False
    encoder_macs: float = 0.0
    decoder_macs: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.axes <= MOST_AXES:
            raise ValueError(f"a codec of {self.axes} axes; there are 1 to {MOST_AXES}")
        if not all(1 <= count <= _MOST_CHANNELS for count in (self.channels, self.latents, self.factor)):
            raise ValueError(
                f"{self.channels} channels, {self.latents} latents and a factor of {self.factor} are no codec's"
            )
        for tile in (self.encoder_tile, self.decoder_tile):
            whole = len(tile) == self.axes and all(size >= 1 and size % self.factor == 0 for size in tile)
            if not whole or math.prod(tile) > _MOST_SAMPLES:
                raise ValueError(f"a tile of {tile} is none of {self.axes} multiples of {self.factor}")
        if any(not 0 <= ring <= _MOST_CHANNELS for ring in (*self.encoder_halo, *self.decoder_halo)):
            raise ValueError(f"halos of {self.encoder_halo} and {self.decoder_halo}")
        if not 1 <= len(self.rates) <= MOST_RATES:
            raise ValueError(f"{len(self.rates)} rates; there are 1 to {MOST_RATES}")
        if len(self.identity) != 32 or set(self.identity) - set("0123456789abcdef"):
            raise ValueError(f"the identity {self.identity[:40]!r} is no 32 hexadecimal digits")
        for macs in (self.encoder_macs, self.decoder_macs):
            if not (math.isfinite(macs) and macs >= 0):
                raise ValueError(f"{macs} multiply-adds for each sample position")

    @property
    def identity_bytes(self) -> bytes:
        """The 16 bytes that stand in a stream's header."""
        return bytes.fromhex(self.identity)

    def encoder_shape(self) -> tuple[int, ...]:
        """What the compiled encoder takes."""
        return (1, self.channels, *(size + sum(self.encoder_halo) for size in self.encoder_tile))

    def decoder_shape(self) -> tuple[int, ...]:
        """What the compiled decoder takes."""
        ring = sum(self.decoder_halo)
        return (1, self.latents + 1, *(size // self.factor + ring for size in self.decoder_tile))

    def to_bytes(self) -> bytes:
        """The member ``codec``: the same bytes for the same codec."""
        return (json.dumps(encode(self), sort_keys=True, indent=1) + "\n").encode()


def model_name(rate: int) -> str:
    """The table that holds the probabilities of a rate's integers."""
    return f"model.{rate}"


def table_names(codec: Codec) -> tuple[str, ...]:
    """The tables that each part of a codec's bundle names."""
    return (DESCRIPTION, LEVELS, *map(model_name, range(len(codec.rates))))


def read_codec(data: bytes | memoryview, where: str) -> Codec:
    """The member ``codec`` of a bundle.

    Args:
        where: the bundle, for messages.

    Raises:
        BundleError: it is too large, no JSON, or does not describe a codec.
    """
    if len(data) > _LARGEST:
        raise BundleError(f"the codec's description in {where} is too large; build the bundle again")
    try:
        return decode(Codec, json.loads(bytes(data)))
    except (ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, RecordError) else "it is no JSON"
        raise BundleError(
            f"the codec's description in {where} is damaged ({cause[:200]}); build the bundle again"
        ) from None


def levels_to_bytes(levels: Sequence[Array], codec: Codec) -> bytes:
    """The member ``levels``.

    Args:
        levels: for each rate, float32 ``[latents, values]``.

    Raises:
        ValueError: a table has another shape, or a level is not finite.
    """
    if len(levels) != len(codec.rates):
        raise ValueError(f"levels of {len(levels)} rates for {len(codec.rates)}")
    for table, rate in zip(levels, codec.rates, strict=True):
        if table.shape != (codec.latents, rate.values) or not np.isfinite(table).all():
            raise ValueError(
                f"levels of shape {table.shape} for {codec.latents} latents of {rate.values} values"
            )
    return b"".join(np.ascontiguousarray(table, "<f4").tobytes() for table in levels)


def read_levels(data: bytes | memoryview, codec: Codec, where: str) -> tuple[Array, ...]:
    """For each rate its levels, float32 ``[latents, values]``; the level of integer ``q`` is at ``q + highest``.

    Raises:
        BundleError: there are too many or too few bytes, or a level is not finite.
    """
    counts = [codec.latents * rate.values for rate in codec.rates]
    if len(data) != 4 * sum(counts):
        raise BundleError(
            f"the levels in {where} take {len(data)} bytes, not the {4 * sum(counts)} of its rates; "
            "build the bundle again"
        )
    numbers = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BundleError(f"the levels in {where} hold what is no number; build the bundle again")
    parts = np.split(numbers, np.cumsum(counts)[:-1])
    return tuple(part.reshape(codec.latents, -1) for part in parts)


def codec_of(tables: dict[str, str], member: Callable[[str], bytes | memoryview], where: str) -> Codec | None:
    """The codec that a part of a bundle belongs to; None where it is another network's.

    Args:
        tables: of the part, name to member.
        member: gives a member's bytes.

    Raises:
        BundleError: the description is damaged, or a table that belongs to it is missing.
    """
    if DESCRIPTION not in tables:
        return None
    codec = read_codec(member(tables[DESCRIPTION]), where)
    missing = next((name for name in table_names(codec) if name not in tables), "")
    if missing:
        raise BundleError(f"{where} has no table {missing!r} for its codec; build the bundle again")
    return codec
