"""How much noise pressing adds: to a network's outputs, to a decoded picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def sqnr_db(reference: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    """Signal-to-quantisation-noise ratio, in dB: ``10 log10(sum r² / sum (r - g)²)``.

    Args:
        reference, given: arrays of one shape.

    Returns:
        The ratio; infinite where there is no difference, minus infinity where the reference is all zero.
    """
    wide = reference.astype(np.float64)
    signal = float(np.sum(wide**2))
    noise = float(np.sum((wide - given.astype(np.float64)) ** 2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def psnr_db(reference: np.ndarray[Any, Any], given: np.ndarray[Any, Any], peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio, in dB: ``10 log10(peak² / mean (r - g)²)`` over every sample of every channel.

    Args:
        reference, given: arrays of one shape, not empty.
        peak: the greatest value that a sample can have.

    Returns:
        The ratio; infinite where there is no difference.

    Raises:
        ValueError: the shapes differ, or there are no samples.
    """
    if reference.shape != given.shape or not reference.size:
        raise ValueError(f"arrays of {reference.shape} and {given.shape} cannot be compared")
    noise = float(np.mean((reference.astype(np.float64) - given.astype(np.float64)) ** 2))
    return 10 * math.log10(peak * peak / noise) if noise else math.inf


def max_abs_error(reference: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    """The largest difference of any element; 0 for empty arrays, NaN where one of them holds NaN."""
    if reference.size == 0:
        return 0.0
    return float(np.max(np.abs(reference.astype(np.float64) - given.astype(np.float64))))


def cosine(reference: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    """The cosine of the angle between two arrays taken as vectors; 1 for two zeros, 0 for one."""
    a, b = reference.astype(np.float64).reshape(-1), given.astype(np.float64).reshape(-1)
    # Scaled first, so that squares neither overflow nor vanish.
    largest = (float(np.max(np.abs(a), initial=0.0)), float(np.max(np.abs(b), initial=0.0)))
    if 0.0 in largest:
        return 1.0 if largest == (0.0, 0.0) else 0.0
    a, b = a / largest[0], b / largest[1]
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))
