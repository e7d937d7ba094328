"""The runtime in tiles against the torch codecs on the whole: the same symbols, and the same samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from edgepress.bundle import Graph, Part
from edgepress.codec_source import codec_source
from edgepress.coding.description import DECODER, ENCODER
from edgepress.nn.codec import Codec, CodecConfig
from edgepress.nn.codec.codec import filled_up
from edgepress.nn.codec.frozen import FrozenCodec, freeze_codec
from edgepress.runtimes.codec_decode import sample_bands, tiling
from edgepress.runtimes.codec_encode import code_bands
from edgepress.runtimes.codec_form import CodecForm
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Storage, samples_of
from edgepress.tensor import TensorSpec
from tests.codecs.made import smooth

Array = np.ndarray[Any, Any]

WALLOC = CodecConfig(levels=2, latents=5, width=8, blocks=2)
CASES = [
    (WALLOC, 32, (70, 45)),
    (WALLOC, 32, (3, 1)),
    (CodecConfig("liveaction", levels=2, latents=6, encoder_blocks=1, width=8, blocks=1), 24, (41, 66)),
    (CodecConfig(axes=1, channels=2, levels=4, latents=6, width=8, blocks=1), 128, (301,)),
    (CodecConfig("liveaction", 3, 1, levels=1, latents=2, encoder_blocks=1, width=8, blocks=1), 12, (13, 7, 18)),
]  # fmt: skip


class TorchEngine:
    """An engine that runs a torch module."""

    def __init__(self, module: torch.nn.Module, output: str) -> None:
        self._module, self._output = module, output

    @torch.no_grad()
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See :class:`edgepress.runtimes.engine.Engine`."""
        (given,) = inputs.values()
        return {self._output: self._module(torch.from_numpy(given)).numpy()}


def lively(config: CodecConfig) -> FrozenCodec:
    """A codec whose codes and samples are spread over their ranges."""
    torch.manual_seed(0)
    module = Codec(config)
    parts: Any = module
    with torch.no_grad():
        parts.encoder.linear.weight.mul_(30)
        for weight in (parts.decoder.linear.weight, parts.decoder.last.weight):
            weight.normal_(0, 0.02)
        residual: Any = module.encoder.residual
        if residual is not None:
            residual[-1].second.weight.normal_(0, 0.2)
    return freeze_codec(module, (1.0, 3.0), (b"", b""))


def halves(frozen: FrozenCodec, tile: int) -> tuple[CodecForm, TileRun, TileRun]:
    """The codec's form and its two networks, run tile by tile."""
    source = codec_source(frozen, tile)
    form, codec = CodecForm("codec", source.description, frozen.levels), source.description

    def run(part: str, module: torch.nn.Module, gives: tuple[int, ...], made: int) -> TileRun:
        inputs, (name,) = source.inputs(part), source.outputs(part)
        outputs = (TensorSpec(name, gives),)
        record = Part("host", Graph("", 9, 17), inputs, outputs, {}, {}, {}, "", "")
        reach = form.encoder_reach if part == ENCODER else form.decoder_reach
        return TileRun(TorchEngine(module, name), record, reach, (inputs[0].shape[1], gives[1]), made, False)

    codes = tuple(size // codec.factor for size in codec.encoder_tile)
    return (
        form,
        run(ENCODER, frozen.module.encoder, (1, codec.latents, *codes), 1),
        run(DECODER, frozen.module.decoder, (1, codec.channels, *codec.decoder_tile), codec.factor),
    )


@pytest.mark.parametrize(("config", "tile", "extents"), CASES)
def test_tiles_give_what_torch_gives_on_the_whole(
    config: CodecConfig, tile: int, extents: tuple[int, ...]
) -> None:
    torch.set_num_threads(1)
    frozen = lively(config)
    form, encoder, decoder = halves(frozen, tile)
    samples = smooth((config.channels, *extents)).astype(np.float32)
    for rate, step in enumerate((1.0, 3.0)):
        found = np.concatenate(list(code_bands(form, encoder, samples_of(samples, config.axes), rate)), 1)
        with torch.no_grad():
            steps = torch.tensor([step])
            codes = frozen.module.codes(filled_up(torch.from_numpy(samples)[None], config.factor))
            symbols = frozen.module.symbols(codes, steps)
            restored = frozen.module.restored(symbols, steps)[0].numpy()
        expected = symbols[0].numpy()
        assert found.shape == expected.shape
        assert np.unique(found).size > 2
        assert np.mean(found != expected) <= 0.001 or np.count_nonzero(found != expected) <= 1
        assert np.abs(found - expected).max() <= 1

        integers = expected.astype(np.int16)
        cut, kept = tiling(form, decoder, extents), Storage("array", config.channels)
        bands = sample_bands(form, decoder, lambda a, b, q=integers: q[:, a:b], cut, extents, rate, kept)  # type: ignore[misc]
        made = np.concatenate([band for _, band in bands], 1)
        whole = restored[(slice(None), *(slice(0, extent) for extent in extents))]
        assert made.std() > 0.05
        assert np.abs(made - whole).max() < 1e-4 * np.abs(whole).max()
