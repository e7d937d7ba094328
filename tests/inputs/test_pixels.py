"""Whole pictures as arrays: every kind of file becomes uint8 in RGB."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError
from edgepress.inputs.image import pixels

RAMP = (np.arange(6 * 5) * 8).reshape(6, 5).astype(np.uint8)


def png(picture: Image.Image, **options: Any) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(RAMP),
        Image.fromarray(RAMP.astype(np.uint16) * 257),
        Image.fromarray(np.repeat(RAMP[:, :, None], 3, axis=2)),
        Image.fromarray(np.dstack([RAMP, RAMP, RAMP, 255 - RAMP])),
        Image.fromarray(RAMP).convert("P"),
    ],
    ids=["grey", "16 bits", "colour", "transparent", "palette"],
)
def test_every_kind_becomes_eight_bits_in_three_channels(picture: Image.Image) -> None:
    found = pixels(png(picture), "a.png")
    assert found.dtype == np.uint8 and found.flags.writeable
    assert np.array_equal(found, np.repeat(RAMP[:, :, None], 3, axis=2))


def test_it_stands_upright() -> None:
    exif = Image.Exif()
    exif[274] = 6  # the camera was turned
    found = pixels(png(Image.fromarray(RAMP), exif=exif), "a.png")
    assert np.array_equal(found[:, :, 0], np.rot90(RAMP, -1))


def test_what_is_no_picture_is_named() -> None:
    whole = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)))
    for data, said in ((b"", "a.png is no picture"), (whole[:500], "a.png is a damaged picture")):
        with pytest.raises(DataError, match=said):
            pixels(data, "a.png")
