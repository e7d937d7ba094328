"""What figures a normalisation can use: finite in float32, and no divisor of 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def check_figures(name: str, figures: Sequence[float], *, divisor: bool = False) -> None:
    """Refuse figures that would make every value infinite or no number.

    Raises:
        ValueError: a figure is not finite in float32, or is 0 there and divides.
    """
    with np.errstate(all="ignore"):
        narrow = np.asarray(figures, np.float64).astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ValueError(f"{name} must be finite, not {_text(figures)}")
    if divisor and not narrow.all():
        raise ValueError(f"{name} divides every value, so it cannot be 0 as in {_text(figures)}")


def _text(figures: Sequence[float]) -> str:
    return ", ".join(f"{figure:g}" for figure in figures)
