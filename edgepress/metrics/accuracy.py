"""Shares of right answers, and how far to trust them."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(count: int, total: int, z: float = _Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default.

    Args:
        count: how many were right.
        total: of how many; at least 1.
        z: the normal distribution's point that belongs to the confidence.

    Returns:
        The lower and the upper end, from 0 to 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"{count} of {total} is no share")
    share = count / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
