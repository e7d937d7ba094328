"""A codec's networks as they ship, held against its torch module on tiles of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edgepress.build.reference import TOLERANCE
from edgepress.build.steps import takes_any_size
from edgepress.build.ways import PORTABLE, Engines, Run, ways_of
from edgepress.codec_source import CODES, LATENTS, SAMPLES
from edgepress.coding.description import DECODER, ENCODER, Codec
from edgepress.errors import CheckError
from edgepress.metrics.difference import magnitude, worst_difference
from edgepress.metrics.signal import psnr_db
from edgepress.nn.codec.frozen import FrozenCodec
from edgepress.progress import Progress
from edgepress.samples import Feed, Samples

if TYPE_CHECKING:
    import onnx

Array = np.ndarray[Any, Any]

_MOST = 4  # tiles: decoders are slow, and each is thousands of symbols


def compare_codec(
    frozen: FrozenCodec,
    codec: Codec,
    graphs: Mapping[str, onnx.ModelProto],
    engines: Engines,
    samples: Samples,
    progress: Progress,
) -> list[dict[str, Any]]:
    """How many symbols are torch's, and how much worse pictures become, for each way of running the networks.

    Args:
        frozen: the codec in torch.
        codec: its description.
        graphs: each part's portable graph; one that takes any size is run at another one too.
        engines: what runs here of each part: name, folder, facts.
        samples: tiles with their halo, for the encoder.

    Returns:
        Facts: ``how``, ``detail``, ``worst`` (the least share of symbols, or the most dB lost) and its ``unit``.
    """
    tiles = [feed[SAMPLES] for feed in samples.load()[:_MOST]]
    ways = {part: ways_of(graph.SerializeToString(), engines[part]) for part, graph in graphs.items()}
    total, done = sum(map(len, ways.values())) + 1, 0

    with torch.no_grad():
        expected = [frozen.module.encoder(torch.from_numpy(tile)).numpy() for tile in tiles]
    figures = []
    for how, way in ways[ENCODER].items():
        progress(done, total, how)
        done += 1
        codes = [given[CODES] for given in way([{SAMPLES: tile} for tile in tiles])]
        shares = [
            float(np.mean([_same(a, b, rate.step) for a, b in zip(codes, expected, strict=True)]))
            for rate in codec.rates
        ]
        figures.append(
            {"how": how, "worst": min(shares), "unit": "share", "detail": "each rate: " + _list(shares)}
        )
    progress(done, total, "torch's decoder")
    done += 1
    feeds, wanted = _decoder_tiles(frozen, codec, expected, tiles)
    with torch.no_grad():
        restored = [frozen.module.decoder(torch.from_numpy(feed[LATENTS])).numpy() for feed in feeds]
    for how, way in ways[DECODER].items():
        progress(done, total, how)
        done += 1
        given = [each[SAMPLES] for each in way(feeds)]
        ours = [_psnr(a, b) for a, b in zip(given, wanted, strict=True)]
        theirs = [_psnr(a, b) for a, b in zip(restored, wanted, strict=True)]
        lost = max(b - a for a, b in zip(ours, theirs, strict=True))
        detail = f"torch {float(np.mean(theirs)):.2f} dB on the same tiles"
        figures.append({"how": how, "worst": round(lost, 6), "unit": "dB", "detail": detail})
    progress(total, total, "another size")
    if all(map(takes_any_size, graphs.values())):
        _another_size(frozen, codec, ways, tiles[0], feeds[0][LATENTS])
    return figures


def _another_size(
    frozen: FrozenCodec, codec: Codec, ways: Mapping[str, Mapping[str, Run]], tile: Array, latents: Array
) -> None:
    """Run the portable graphs on a smaller input, and compare.

    Raises:
        CheckError: they do not give what torch gives.
    """
    less = codec.factor
    inputs = {
        ENCODER: (SAMPLES, tile[..., less:]),
        DECODER: (LATENTS, latents[..., 1:]),
    }
    for part, (name, array) in inputs.items():
        array = np.ascontiguousarray(array)
        with torch.no_grad():
            expected = getattr(frozen.module, part)(torch.from_numpy(array)).numpy()
        (given,) = ways[part][PORTABLE]([{name: array}])
        (found,) = given.values()
        gap = worst_difference(expected, found) if found.shape == expected.shape else np.inf
        if gap > TOLERANCE * max(1.0, magnitude(expected)):
            raise CheckError(
                f"the {part}'s graph differs from torch by {gap:.3g} on another size than its tile's; report it with "
                "the codec"
            )


def decoder_feeds(frozen: FrozenCodec, codec: Codec, tiles: Sequence[Array]) -> list[Feed]:
    """What the decoder is given for the encoder's tiles, the rates in turn."""
    with torch.no_grad():
        codes = [frozen.module.encoder(torch.from_numpy(tile)).numpy() for tile in tiles]
    return _decoder_tiles(frozen, codec, codes, tiles)[0]


def _decoder_tiles(
    frozen: FrozenCodec, codec: Codec, codes: Sequence[Array], tiles: Sequence[Array]
) -> tuple[list[Feed], list[Array]]:
    """Latents with their halo, from codes of a tile that is as large as the decoder's; and the samples they are of."""
    feeds, wanted = [], []
    before = codec.encoder_halo[0]
    inside = (slice(None), slice(None), *(slice(before, before + size) for size in codec.decoder_tile))
    for number, (each, tile) in enumerate(zip(codes, tiles, strict=True)):
        index = number % len(codec.rates)
        rate, levels = codec.rates[index], frozen.levels[index]
        integers = np.rint(each[0] / np.float32(rate.step)).astype(np.int64) + rate.highest
        latents = np.stack([row[at] for row, at in zip(levels, integers, strict=True)])
        for axis in range(1, latents.ndim):
            front, behind = ([(0, 0)] * latents.ndim for _ in range(2))
            front[axis], behind[axis] = (codec.decoder_halo[0], 0), (0, codec.decoder_halo[1])
            latents = np.pad(np.pad(latents, front, "reflect"), behind, "symmetric")
        plane = np.full((1, *latents.shape[1:]), rate.plane, np.float32)
        feeds.append({LATENTS: np.concatenate([latents, plane])[None]})
        wanted.append(tile[inside])
    return feeds, wanted


def _same(a: Array, b: Array, step: float) -> float:
    unit = np.float32(step)
    return float(np.mean(np.rint(a / unit) == np.rint(b / unit)))


def _psnr(given: Array, wanted: Array) -> float:
    """In dB, of samples from −1 to 1; 200 at most."""
    return min(200.0, psnr_db(wanted, np.clip(given, -1, 1), peak=2.0))


def _list(shares: list[float]) -> str:
    return ", ".join(f"{share:.5f}" for share in shares)
