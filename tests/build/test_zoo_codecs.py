"""The codecs that come with the project: what they are, and that they serve."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from edgepress import zoo
from edgepress.coding.coder import PortableCoder, channels_of
from edgepress.coding.frozen import read_codings
from edgepress.nn.codec.frozen import FrozenCodec
from edgepress.source import resolve
from edgepress.training.material import scaled
from edgepress.zoo.trained import CODECS, TrainedFile

# Streams of earlier versions decode as long as these stay.
IDENTITIES = {
    "liveaction-f16c48": "88c56f32054c3fc3b9387e0706869791",
    "walloc-f8c12": "ddccb50580a9ca67df3cd8b710b6d8ea",
}
LEAST = {
    "liveaction-f16c48": (26.0, 27.0),
    "walloc-f8c12": (26.5, 27.5),
}  # dB at the coarsest rate and the third


@pytest.fixture(scope="module", params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> tuple[str, FrozenCodec]:
    return request.param, zoo.entry(request.param).codec()  # type: ignore[misc]


def test_both_are_small() -> None:
    """At most 15 MB together."""
    assert sum(TrainedFile(name).path.stat().st_size for name in CODECS) <= 15e6
    assert sorted(CODECS) == [name for name in zoo.names() if zoo.entry(name).codec is not None]


def test_they_are_what_their_names_say(codec: tuple[str, FrozenCodec]) -> None:
    """And say how they were made."""
    name, frozen = codec
    config = frozen.module.config
    assert name == f"{config.kind}-f{config.factor}c{config.latents}"
    assert frozen.identity == IDENTITIES[name] == resolve(name).digest
    assert len(frozen.rates) == 4 and frozen.facts["command"].startswith(f"edgepress train {config.kind}")
    assert frozen.facts["plan"]["seed"] in (1, 2) and frozen.facts["history"]
    bits = [rate.bits or 0.0 for rate in frozen.rates]
    assert bits == sorted(bits) and bits[0] < 0.3 and bits[-1] > 0.9


def test_a_photograph_passes(codec: tuple[str, FrozenCodec]) -> None:
    """Through encoder, integers, models and decoder, with few enough bits."""
    name, frozen = codec
    pixels = data.chelsea()[:256, 64:320]
    x = scaled(torch.from_numpy(pixels.copy()).movedim(2, 0)[None])
    for number, least in zip((0, 2), LEAST[name], strict=True):
        rate = frozen.rates[number]
        with torch.no_grad():
            step = torch.tensor([rate.step])
            symbols = frozen.module.symbols(frozen.module.codes(x), step)
            restored = frozen.module.restored(symbols, step).clamp(-1, 1)
        coding = read_codings(frozen.models[number])[0]
        assert channels_of(coding) == frozen.module.config.latents
        values = symbols[0].numpy().astype(np.int16)
        body = PortableCoder(coding).encode(values)
        assert 8 * len(body) / 256**2 < 1.5 * (rate.bits or 0)
        psnr = 10 * np.log10(4 / float((restored - x).square().mean()))
        assert psnr > least
        places = values.astype(np.int64) + rate.highest
        levels = frozen.levels[number]
        inverse = frozen.module.encoder.companding.inverse(symbols * rate.step)[0].detach().numpy()
        found = np.stack([row[at] for row, at in zip(levels, places, strict=True)])
        np.testing.assert_allclose(found, inverse, rtol=1e-4, atol=1e-3)
