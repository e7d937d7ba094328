"""From what was seen of a tensor to the range its integers cover, and from that to scale and zero point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgepress.methods.int8.statistics import Statistics

LEVELS = 256


@dataclass(frozen=True)
class Quantisation:
    """x ≈ scale · (q − zero_point), q of ``dtype`` (``uint8`` or ``int8``)."""

    scale: float
    zero_point: int
    dtype: str

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest q."""
        return (0, 255) if self.dtype == "uint8" else (-128, 127)


def quantisation(low: float, high: float, dtype: str) -> Quantisation:
    """Integers over [low, high], widened to hold zero exactly; the scale is a float32."""
    low, high = min(0.0, low), max(0.0, high)
    scale = float(np.float32((high - low) / (LEVELS - 1)))
    if scale <= 1e-30:
        return Quantisation(1.0, 0 if dtype == "uint8" else -128, dtype)
    least = 0 if dtype == "uint8" else -128
    zero = int(np.clip(np.rint(least - low / scale), least, least + LEVELS - 1))
    return Quantisation(scale, zero, dtype)


def choose_range(
    seen: Statistics, method: str, percentile: float, limit: tuple[float, float] | None
) -> tuple[float, float]:
    """The range for one tensor.

    Args:
        seen: statistics, with a histogram unless the method is ``minmax``.
        method: ``minmax``; ``percentile`` (two-sided share of values kept, in per cent); ``entropy`` (least
            Kullback-Leibler divergence between the values and their quantised form, Migacz 2017); ``mse``
            (least mean squared error of rounding and clipping).
        limit: a range that an activation folded into the tensor imposes.
    """
    low, high = seen.low, seen.high
    if limit is not None:
        low, high = max(low, limit[0]), min(high, limit[1])
    low, high = min(low, 0.0), max(high, 0.0)
    if method == "minmax" or seen.high <= seen.low:
        return low, high
    if method == "percentile":
        chosen = _percentile(seen, percentile)
    elif method == "entropy":
        chosen = _least(seen, _divergence)
    else:
        chosen = _least(seen, _squared_error)
    return max(low, min(chosen[0], 0.0)), min(high, max(chosen[1], 0.0))


def _edges(seen: Statistics) -> np.ndarray:
    return np.linspace(seen.low, seen.high, seen.histogram.size + 1)


def _percentile(seen: Statistics, percentile: float) -> tuple[float, float]:
    cumulative = np.cumsum(seen.histogram) / max(1, seen.histogram.sum())
    tail = (1 - percentile / 100) / 2
    edges = _edges(seen)
    first = int(np.searchsorted(cumulative, tail, side="right"))
    last = int(np.searchsorted(cumulative, 1 - tail, side="left"))
    return float(edges[min(first, edges.size - 2)]), float(edges[min(last, edges.size - 2) + 1])


def _least(seen: Statistics, loss: object) -> tuple[float, float]:
    """Shrink both ends together, and the ends one by one, and keep what loses least."""
    assert callable(loss)
    best, best_loss = (seen.low, seen.high), float(loss(seen, seen.low, seen.high))
    for part in np.linspace(0.3, 1.0, 36)[:-1]:
        for low, high in (
            (seen.low * part, seen.high * part), (seen.low, seen.high * part), (seen.low * part, seen.high),
        ):  # fmt: skip
            value = float(loss(seen, min(low, 0.0), max(high, 0.0)))
            if value < best_loss:
                best, best_loss = (low, high), value
    return best


def _squared_error(seen: Statistics, low: float, high: float) -> float:
    edges = _edges(seen)
    centres = (edges[1:] + edges[:-1]) / 2
    step = max((high - low) / (LEVELS - 1), 1e-30)
    clipped = np.clip(centres, low, high) - centres
    inside = clipped == 0.0
    # Rounding errors are even over a step, so their mean square is step²/12 (an exact zero costs nothing, and
    # after a ReLU most values are; they fall in the bin that holds zero).
    zero_bin = (edges[:-1] <= 0.0) & (edges[1:] > 0.0)
    return float(np.sum(seen.histogram * np.where(inside & ~zero_bin, step * step / 12, clipped**2)))


def _divergence(seen: Statistics, low: float, high: float) -> float:
    edges = _edges(seen)
    centres = (edges[1:] + edges[:-1]) / 2
    step = max((high - low) / (LEVELS - 1), 1e-30)
    inside = (centres >= low) & (centres <= high)
    p = seen.histogram.astype(np.float64) * inside
    outside_low = seen.histogram[centres < low].sum()
    outside_high = seen.histogram[centres > high].sum()
    used = np.flatnonzero(inside)
    # Networks without normalisation after a layer live from rare large values, which this measure thinks
    # nothing of: ranges that cut off more than one value in a thousand are not considered.
    if used.size == 0 or outside_low + outside_high > 1e-3 * seen.histogram.sum():
        return float("inf")
    p[used[0]] += outside_low
    p[used[-1]] += outside_high
    level = np.clip(np.rint((centres - low) / step), 0, LEVELS - 1).astype(np.int64)
    held = (seen.histogram > 0) & inside
    mass = np.bincount(level[held], weights=seen.histogram[held], minlength=LEVELS)
    bins = np.bincount(level[held], minlength=LEVELS)
    q = np.where(held, mass[level] / np.maximum(bins[level], 1), 0.0)
    p, q = p / max(p.sum(), 1e-30), q / max(q.sum(), 1e-30)
    both = p > 0
    return float(np.sum(p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))))
