"""A small codec with everything that streams need, to be built."""

from __future__ import annotations

import numpy as np

from edgepress.coding.frozen import write_codings
from edgepress.coding.table import fit_table
from edgepress.nn.codec import FrozenCodec, freeze_codec
from tests.build.codec_nets import STEPS, walloc


def built() -> FrozenCodec:
    """Untrained, for pictures in colour, factor 4."""
    codec, noise = walloc(), np.random.default_rng(0)
    models = []
    for step in STEPS:
        table = fit_table(np.rint(noise.laplace(0, 30 / step, 4096)).astype(np.int64))
        models.append(write_codings([(table,) * codec.module.config.latents]))
    return freeze_codec(codec.module, STEPS, models)
