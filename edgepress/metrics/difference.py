"""How far one result lies from another, whatever the numbers in it."""

from __future__ import annotations

from typing import Any

import numpy as np


def worst_difference(expected: np.ndarray[Any, Any], given: np.ndarray[Any, Any] | None) -> float:
    """The greatest absolute difference of two arrays.

    Infinite where one is missing, of another shape, or not a number where the other is; where both hold the
    same non-finite value they are equal.
    """
    if given is None or given.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    a, b = expected.astype(np.float64), given.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def magnitude(array: np.ndarray[Any, Any]) -> float:
    """The greatest finite magnitude, at least 1: what a relative tolerance counts from."""
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    return max(1.0, float(np.abs(finite.astype(np.float64)).max())) if finite.size else 1.0
