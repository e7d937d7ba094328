"""The figures of docs/measuring-codecs.md, on the photographs that they are of."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgepress.evaluate.pillow_codecs import PillowCodec
from edgepress.metrics.signal import psnr_db
from edgepress.metrics.ssim import ssim


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "rate", "bits", "psnr", "similarity"),
    [
        ("jpeg", 75, 1.368, 34.52, 0.9451),
        ("jpeg-optimised", 75, 1.315, 34.52, 0.9451),
        ("webp", 60, 0.824, 33.97, 0.9323),
        ("avif", 50, 0.603, 33.40, 0.9246),
        ("jpeg2000", 40, 0.599, 33.06, 0.8863),
    ],
)
def test_the_baselines_on_kodak(name: str, rate: float, bits: float, psnr: float, similarity: float) -> None:
    """Encoders change from version to version: within 2 % of the bits, 0.1 dB and 0.002."""
    folder = Path(os.environ.get("EDGEPRESS_DATA", "")) / "kodak"
    assert folder.is_dir(), "EDGEPRESS_DATA must name the folder that holds kodak"
    codec, found = PillowCodec(name), []
    for path in sorted(folder.glob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        stream = codec.encode(picture, rate)
        decoded = codec.decode(stream)
        pixels = picture.shape[0] * picture.shape[1]
        found.append((8 * len(stream) / pixels, psnr_db(picture, decoded), ssim(picture, decoded)))
    assert len(found) == 24
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(bits, rel=0.02)
    assert mean[1] == pytest.approx(psnr, abs=0.1)
    assert mean[2] == pytest.approx(similarity, abs=0.002)
