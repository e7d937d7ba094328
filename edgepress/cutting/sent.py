"""What could be sent: the input itself, a picture's file, a map in floats or bytes, or what a student makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cutting.published import published_bytes
from edgepress.inputs import ImageInput, InputKind
from edgepress.measurement import Measurement
from edgepress.tensor import TensorSpec

PICTURE_CODECS = {"jpeg": "JPEG", "webp": "WebP"}


@dataclass(frozen=True)
class Sent:
    """Something to send.

    Attributes:
        name: ``float32``, ``int8``, ``student``, ``JPEG`` and so on.
        bytes: how many.
        agreement: the share of inputs for which the answer stays what the whole float model gives.
    """

    name: str
    bytes: Measurement
    agreement: Measurement


def map_sent(name: str, elements: int, each: int) -> Sent:
    """A map as numbers of ``each`` bytes, 4 or 1."""
    size = Measurement(
        f"a map as {name}", float(elements * each), "bytes", "estimated",
        f"{each} byte{'s' * (each > 1)} a number; exact but for the message's head",
        float(elements * each), float(elements * each),
    )  # fmt: skip
    if each == 4:
        kept = Measurement("agreement", 1.0, "", "estimated", "the same float network", 1.0, 1.0)
    else:
        kept = Measurement("agreement", None, "", "unavailable", "edgepress build measures what int8 costs")
    return Sent(name, size, kept)


def raw_input(inputs: Sequence[TensorSpec], picture: bool) -> Sent:
    """The model's input: a picture as bytes, anything else as the numbers it is of."""
    elements = sum(math.prod(spec.shape) for spec in inputs)
    if picture:
        size, what = elements, "pixels"
        how = f"{elements:,} bytes of pixels at the size that the model takes"
    else:
        size = sum(math.prod(spec.shape) * _width(spec.dtype) for spec in inputs)
        what, how = "input", f"{elements:,} numbers"
    kept = Measurement(
        "agreement", 1.0, "", "estimated", "the same float network on the same input", 1.0, 1.0
    )
    return Sent(what, Measurement(f"the {what}", float(size), "bytes", "estimated", how, size, size), kept)


def picture_file(codec: str, agreement: float, pixels: int) -> Sent:
    """A picture in a codec's file, by published figures."""
    return Sent(PICTURE_CODECS[codec], published_bytes(codec, agreement, pixels), asked(agreement))


def student_stream(agreement: float, pixels: int) -> Sent:
    """What an entropic student would send, by published figures."""
    return Sent("student", published_bytes("student", agreement, pixels), asked(agreement))


def asked(agreement: float) -> Measurement:
    """The share that the bytes were estimated for."""
    return Measurement("agreement", agreement, "", "estimated", "what the bytes are estimated for")


def picture_shape(inputs: Sequence[TensorSpec], prepare: dict[str, InputKind]) -> tuple[int, int, int] | None:
    """``(channels, rows, columns)`` where the model takes one picture; else None."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[0] != 1:
        return None
    kind = prepare.get(inputs[0].name)
    _, a, b, c = inputs[0].shape
    if isinstance(kind, ImageInput):
        return (c, a, b) if kind.layout == "NHWC" else (a, b, c)
    return (a, b, c) if a in (1, 3) and min(b, c) >= 16 else None


def _width(dtype: str) -> int:
    import numpy as np

    return int(np.dtype(dtype).itemsize)
