"""Photographs that installed packages carry, cut and varied into pictures to calibrate on.

They stand in for the user's own (``--data``), which are always better: they look like what the device will see.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from edgepress.errors import MissingExtraError

# Only pictures that scikit-image's wheel holds (others are fetched); line drawings and masks are left out.
_NAMES = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "logo.png", "moon.png", "motorcycle_left.png", "motorcycle_right.png",
    "retina.jpg", "rocket.jpg",
)  # fmt: skip


def packaged_photographs() -> tuple[Path, ...]:
    """The files, in a fixed order.

    Raises:
        MissingExtraError: scikit-image, which brings them, is not installed.
    """
    spec = find_spec("skimage")
    folder = Path(spec.origin).parent / "data" if spec is not None and spec.origin else None
    found = tuple(folder / name for name in _NAMES if (folder / name).is_file()) if folder else ()
    if not found:
        raise MissingExtraError("calibrating without --data", "scikit-image", "build")
    return found


def calibration_pictures(count: int, height: int, width: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Varied cuts of the packaged photographs: uint8 arrays [height, width, 3], RGB, the same ones each time.

    A cut covers 10 to 100 % of the largest one of the asked shape, with its sides stretched by up to a third; half
    of them are mirrored, and half vary in contrast, brightness and tint.
    """
    generator = np.random.default_rng(seed)
    pictures: list[Image.Image] = []
    for path in packaged_photographs():
        with Image.open(path) as picture:
            pictures.append(picture.convert("RGB"))
    for i in range(count):
        picture = pictures[i % len(pictures)]
        box = _cut(picture.size, width / height, generator)
        values = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box), np.float32)
        if generator.random() < 0.5:
            values = values[:, ::-1]
        if generator.random() < 0.5:
            contrast, brightness = generator.uniform(0.6, 1.4), generator.uniform(-40, 40)
            tint = generator.uniform(-25, 25, 3)
            values = (values - 128) * contrast + 128 + brightness + tint
        yield np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _cut(size: tuple[int, int], ratio: float, generator: np.random.Generator) -> tuple[float, float, float, float]:
    """A box (left, top, right, bottom) within a picture of that size, about ``ratio`` times as wide as high."""
    across = min(size[0], size[1] * ratio)
    share = np.sqrt(np.exp(generator.uniform(np.log(0.1), 0.0)))
    stretch = np.exp(generator.uniform(-0.15, 0.15))
    wide = min(float(size[0]), max(8.0, across * share * stretch))
    high = min(float(size[1]), max(8.0, across / ratio * share / stretch))
    left, top = generator.uniform(0, size[0] - wide), generator.uniform(0, size[1] - high)
    return left, top, left + wide, top + high
