"""The inputs of the benchmark: the same for every engine, made from a number in every process that needs them."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]

_ROTATED = 24_000_000  # bytes: more than what stays in a core's caches


def example(spec: TensorSpec, index: int) -> Array:
    """Normal numbers; a picture is smooth as photographs are, with some noise."""
    rng = np.random.default_rng((index, zlib.crc32(spec.name.encode())))
    if len(spec.shape) != 4:
        return rng.standard_normal(spec.shape, np.float32)
    batch, channels, rows, columns = spec.shape
    coarse = rng.standard_normal((batch, channels, -(-rows // 16), -(-columns // 16)), np.float32)
    smooth = coarse.repeat(16, 2).repeat(16, 3)[:, :, :rows, :columns]
    return np.clip(0.4 * smooth + 0.15 * rng.standard_normal(spec.shape, np.float32), -1, 1).astype(
        np.float32
    )


def example_set(specs: tuple[TensorSpec, ...], index: int) -> dict[str, Array]:
    """One array for each input."""
    return {spec.name: example(spec, index) for spec in specs}


def rotation(specs: tuple[TensorSpec, ...]) -> list[dict[str, Array]]:
    """Sets that are used in turn; together they take more room than a core's caches have."""
    count = max(4, -(-_ROTATED // sum(spec.bytes for spec in specs)))
    return [example_set(specs, index) for index in range(count)]
