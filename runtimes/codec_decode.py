"""Codes to samples, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgepress.runtimes.codec_form import CodecForm
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Storage
from edgepress.runtimes.codec_tiles import CodeAxis, Tiling

Array = np.ndarray[Any, Any]


def tiling(form: CodecForm, run: TileRun, extents: tuple[int, ...]) -> Tiling:
    """How codes of samples of these extents are cut for a decoder."""
    codes = form.codes(extents)
    axes = tuple(CodeAxis(size, form.decoder_reach.after) for size in codes)
    return Tiling(axes, codes, run.tile(codes), form.decoder_reach)


def sample_bands(
    form: CodecForm,
    run: TileRun,
    read: Callable[[int, int], Array],
    cut: Tiling,
    extents: tuple[int, ...],
    rate: int,
    storage: Storage,
) -> Iterator[tuple[int, Array]]:
    """Samples of a stream's integers, band by band: the first one's place, and what the storage keeps.

    Args:
        read: gives int16 ``[latents, n, *other extents]`` from a first to an end along the first axis.
        cut: the tiling of these samples.
        extents: of the samples.
        storage: how they are kept.
    """
    codec = form.codec
    with run.lock:
        tile, decode = run.at(cut.tile)

    def write(integers: Array, out: Array) -> None:
        form.restore(rate, integers, out)

    for first, count, start, end in cut.bands():
        codes = read(start, end)
        height = min(codec.factor * count, extents[0] - codec.factor * first)
        band, view = storage.empty((height, *extents[1:]))
        for corner in cut.tiles(first):
            place, kept = cut.kept(corner, codec.factor, (codec.factor * first + height, *extents[1:]))
            with run.lock:
                cut.fill(tile[: codec.latents], codes, start, corner, write)
                tile[codec.latents :] = np.float32(codec.rates[rate].plane)
                storage.put(decode()[(slice(None), *kept)], view[(slice(None), *place)])
        yield codec.factor * first, band
