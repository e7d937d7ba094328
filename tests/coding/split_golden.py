"""A golden split network: latents of exact numbers alone, so that they never change with a library's version."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from edgepress.coding.coder import PortableCoder
from edgepress.coding.frozen import write_codings
from edgepress.coding.split import Split, SplitRate, integers, steps_to_bytes, stream_header
from edgepress.coding.whole import encode
from tests.coding import golden

Array = np.ndarray[Any, Any]

LATENTS, MAP = 5, (96, 86)
SPLIT = Split(
    "00112233445566778899aabbccddeeff", "a teacher", "features.3", (3, 768, 688), LATENTS, *MAP, 200,
    (SplitRate(1.0, -1.0), SplitRate(0.5, 0.0)),
)  # fmt: skip
STEPS = np.array([[0.5, 0.3, 0.7, 1.0, 3.0], [0.25, 0.15, 0.35, 0.5, 1.5]], np.float32)
MODELS = golden.models()[::-1]
SPECIAL = (0x7FC00000, 0xFFC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x00000001, 0x80000000, 0x437A0000)
"""Bits of the first latents: NaN, infinities, the largest, the smallest, −0, 250."""


def latents() -> Array:
    """Float32 ``[latents, rows, columns]``; quarters whose neighbours are alike, so that many quotients are halves."""
    state, found = 12345, np.zeros((LATENTS, *MAP), np.float32)
    before = 0
    for place in np.ndindex(found.shape):
        state = (state * 1103515245 + 12345) % (1 << 31)
        before = before - (before >> 2) + (state >> 16) % 23 - 11
        found[place] = before / 4
    found.reshape(-1)[: len(SPECIAL)] = np.array(SPECIAL, np.uint32).view(np.float32)
    return found


def models() -> tuple[bytes, ...]:
    """The members ``model.0`` and ``model.1``."""
    return tuple(write_codings([coding]) for coding in MODELS)


def steps() -> bytes:
    """The member ``steps``."""
    return steps_to_bytes(STEPS, SPLIT)


def streams() -> list[bytes]:
    """By the definition, one a rate."""
    sent = (integers(latents(), steps, SPLIT.highest) for steps in STEPS)
    return [
        encode(stream_header(SPLIT, rate), values, partial(PortableCoder, MODELS[rate]))
        for rate, values in enumerate(sent)
    ]
