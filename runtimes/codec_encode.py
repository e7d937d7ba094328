"""Samples to codes, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgepress.runtimes.codec_form import CodecForm
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Samples, convert
from edgepress.runtimes.codec_tiles import SampleAxis, Tiling

Array = np.ndarray[Any, Any]


def tiling(form: CodecForm, run: TileRun, extents: tuple[int, ...]) -> Tiling:
    """How samples of these extents are cut for an encoder."""
    axes = tuple(SampleAxis(extent, form.codec.factor, form.encoder_reach.after) for extent in extents)
    codes = form.codes(extents)
    return Tiling(axes, codes, run.tile(codes), form.encoder_reach)


def code_bands(form: CodecForm, run: TileRun, samples: Samples, rate: int) -> Iterator[Array]:
    """The integers of samples, int16 ``[latents, n, *other extents]``, band by band along the first axis.

    Raises:
        DataError: the samples cannot be read, or hold what is no sample.
    """
    cut = tiling(form, run, samples.extents)
    with run.lock:
        tile, encode = run.at(cut.tile)
    write, step = convert(samples.name), np.float32(form.codec.rates[rate].step)
    highest = form.highest(rate)
    for first, count, start, end in cut.bands():
        block = samples.read(start, end)
        band = np.empty((form.codec.latents, count, *cut.results[1:]), np.int16)
        for corner in cut.tiles(first):
            place, kept = cut.kept(corner)
            with run.lock:
                cut.fill(tile, block, start, corner, write)
                codes = encode()[(slice(None), *kept)]
                np.divide(codes, step, out=codes)
                np.rint(codes, out=codes)
                np.clip(codes, -highest, highest, out=codes)
                band[(slice(None), *place)] = codes
        yield band
