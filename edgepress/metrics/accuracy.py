"""Shares of right answers, and how far to trust them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(count: int, total: int, z: float = _Z_95) -> tuple[float, float]:
    """The Wilson score interval of a share, 95 % by default.

    Args:
        count: how many were right.
        total: of how many; at least 1.
        z: the normal distribution's point that belongs to the confidence.

    Returns:
        The lower and the upper end, from 0 to 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
        (1927).
    """
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"{count} of {total} is no share")
    share = count / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def top_k(scores: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], k: int = 1) -> float:
    """The share of rows whose label is among the k greatest scores; of equal scores the earlier class comes
    first.

    Args:
        scores: [examples, classes].
        labels: [examples], class numbers.
        k: at least 1 and at most the number of classes.

    Raises:
        ValueError: the arrays do not fit together, or k is out of range.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} do not belong together")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"k is from 1 to {scores.shape[1]}, not {k}")
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(best == labels[:, None], axis=1)))


def agreement(reference: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> float:
    """The share of rows [examples, classes] with the same greatest score in both.

    Raises:
        ValueError: the shapes differ, or there are no rows.
    """
    if reference.shape != given.shape or reference.ndim != 2 or not len(reference):
        raise ValueError(f"scores {reference.shape} and {given.shape} do not belong together")
    return float(np.mean(reference.argmax(axis=1) == given.argmax(axis=1)))
