"""How many bytes a picture takes until a classifier sees what it saw before: from figures that others published."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from edgepress.measurement import Measurement
from edgepress.records import decode

STUDENT = "student"
PIXELS = 224 * 224
"""Of the pictures that the figures are of."""

_ERROR = (
    1.5  # the figures are of one network; JPEG's and WebP's on EfficientNet-Lite0 were within 1.2 of them
)
_SOURCE = "Matsubara et al., WACV 2022, ResNet-50 on ImageNet"


@dataclass(frozen=True)
class Published:
    """A way to send a picture; see ``published.toml``."""

    title: str
    points: tuple[tuple[float, float], ...]
    whole: float


@cache
def table() -> dict[str, Published]:
    """By name: ``student``, then picture codecs."""
    text = resources.files("edgepress.cutting").joinpath("published.toml").read_text(encoding="utf-8")
    return {name: decode(Published, data, name) for name, data in tomllib.loads(text).items()}


def published_bytes(name: str, agreement: float, pixels: int) -> Measurement:
    """What a picture takes, by estimate.

    Top-1 over the whole network's stands for the share of pictures whose class stays the same; between the published
    points the logarithm of the bytes is interpolated, and they grow with the pixels.

    Args:
        name: of :func:`table`.
        agreement: the share of pictures whose class is to stay the same.
        pixels: of the model's input.
    """
    known = table()[name]
    shares = [top1 / known.whole for _, top1 in known.points]
    logarithms = [math.log(1e3 * kilobytes) for kilobytes, _ in known.points]
    what = f"{known.title}, a picture"
    if agreement > shares[-1]:
        why = f"nothing is published for {agreement:.1%} agreement; the most is {shares[-1]:.1%} ({_SOURCE})"
        return Measurement(what, None, "bytes", "unavailable", why)
    value = math.exp(np.interp(agreement, shares, logarithms)) * pixels / PIXELS
    how = (
        f"published bytes at {agreement:.0%} of the whole network's top-1 ({_SOURCE}), by pixels; may be off by a "
        f"factor of {_ERROR}"
    )
    return Measurement(what, value, "bytes", "estimated", how, value / _ERROR, value * _ERROR)
