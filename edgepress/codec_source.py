"""A frozen codec as something to build: two networks, each compiled for a tile, and the record of the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edgepress.coding.description import DECODER, ENCODER, Codec
from edgepress.errors import UsageError
from edgepress.inputs import ArrayInput, ImageInput, InputKind
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    from edgepress.nn.codec.frozen import FrozenCodec

SAMPLES, CODES, LATENTS = "samples", "codes", "latents"  # tensors of the two parts
_TILES = {1: 1 << 16, 2: 512, 3: 64}  # samples of an axis, by the number of axes
_LARGEST_TILE = 1 << 22


@dataclass(frozen=True)
class CodecSource:
    """What a build needs of a codec.

    Attributes:
        frozen: gives the codec; called only when it must be exported or checked.
        description: what the bundle will say of it.
    """

    frozen: Callable[[], FrozenCodec]
    description: Codec

    def inputs(self, part: str) -> tuple[TensorSpec, ...]:
        """What a part takes: one tile with its halo."""
        codec = self.description
        if part == ENCODER:
            return (TensorSpec(SAMPLES, codec.encoder_shape(), "float32", (-1.0, 1.0)),)
        return (TensorSpec(LATENTS, codec.decoder_shape()),)

    def prepare(self, part: str) -> dict[str, InputKind]:
        """How what a part takes is made of a file."""
        codec = self.description
        if part == ENCODER and codec.content == "picture":
            return {
                SAMPLES: ImageInput(mean=(127.5,), std=(127.5,), colour="L" if codec.channels == 1 else "RGB")
            }
        return {self.inputs(part)[0].name: ArrayInput()}

    def outputs(self, part: str) -> tuple[str, ...]:
        """What a part gives."""
        return (CODES if part == ENCODER else SAMPLES,)

    @property
    def codes_key(self) -> str:
        """Changes when the decoder's examples do."""
        return repr(self.description.to_bytes())

    @property
    def finest(self) -> float:
        """The least step that codes are rounded by."""
        return min(rate.step for rate in self.description.rates)


def codec_source(frozen: FrozenCodec, tile: int = 0) -> CodecSource:
    """A codec to build for tiles of so many samples along each axis.

    Args:
        frozen: the codec.
        tile: 0 takes one that serves most boards.

    Raises:
        UsageError: the tile is no multiple of the codec's factor, or too large.
    """
    config = frozen.module.config
    each = tile or max(_TILES[config.axes] // config.factor, 1) * config.factor
    if each % config.factor or not 0 < each <= _LARGEST_TILE:
        raise UsageError(
            f"a tile of {each} samples does not serve this codec; give a multiple of {config.factor} up to "
            f"{_LARGEST_TILE}"
        )
    macs = frozen.macs()
    described = Codec(
        kind=config.kind,
        content=_content(config.axes, config.channels),
        axes=config.axes,
        channels=config.channels,
        latents=config.latents,
        factor=config.factor,
        encoder_halo=frozen.encoder_halo,
        decoder_halo=frozen.decoder_halo,
        encoder_tile=(each,) * config.axes,
        decoder_tile=(each,) * config.axes,
        rates=frozen.rates,
        identity=frozen.identity,
        encoder_macs=macs[ENCODER],
        decoder_macs=macs[DECODER],
    )
    return CodecSource(lambda: frozen, described)


def _content(axes: int, channels: int) -> Literal["picture", "recording", "array"]:
    if axes == 2 and channels in (1, 3):
        return "picture"
    return "recording" if axes == 1 else "array"
