"""How much noise a pressed network adds to its outputs."""

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
