"""Winograd's convolution: a 3×3 window over tiles of m×m outputs with (m+2)² products instead of 9·m².

``Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ x B) ] A`` for each tile (A. Lavin, S. Gray, "Fast algorithms for convolutional
neural networks", 2016). The matrices follow from points of evaluation (A. Toom, S. Cook). Weights are
transformed when the model is built; tiles of the input become (m+2)² matrices ``[tiles, inputs]``, each
is multiplied by its weights, and the sums are transformed back.

Rounding: a bound on the error of a direct sum (terms · 2⁻²⁴ · max|x| · Σ|w|) grows to at most 16 times itself
with ``m = 2`` and 176 times with ``m = 4``, whatever the weights. On weights and inputs that are drawn at random
the error is that of a direct sum with ``m = 2``, and twice that with ``m = 4`` and the points below (8 times
with the usual 0, ±1, ±2).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

TAPS = 3
# Small fractions of two: Aᵀ and Bᵀ are exact in fp32, and only weights are rounded, once, when they are made.
_POINTS = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
}
# What tile_of counts in multiply-accumulates of the tiled kernel, fitted to layers of 56×56×64 to 7×7×512.
_OF_WEIGHT = 16  # reading one weight from memory
_OF_TRANSFORM = 10  # making one element of a transformed tile, or using one
_ENOUGH = 0.9  # of the direct convolution's cost, from which the transforms are worth their weights

Rows = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Transforms:
    """The matrices for tiles of ``m`` outputs: ``inverse`` Aᵀ ``[m, m+2]``, ``weight`` G ``[m+2, 3]`` and
    ``image`` Bᵀ ``[m+2, m+2]``."""

    inverse: Rows
    weight: Rows
    image: Rows


@cache
def transforms(m: int) -> Transforms:
    """The matrices for tiles of ``m`` outputs."""
    points = _POINTS[m]
    finite = len(points)

    def product(left_out: int) -> list[Fraction]:
        """The coefficients of Π (x - point), lowest first, without one of the points."""
        total = [Fraction(1)]
        for position, point in enumerate(points):
            if position != left_out:
                shifted, scaled = [Fraction(0), *total], [*(-point * c for c in total), Fraction(0)]
                total = [a + b for a, b in zip(shifted, scaled, strict=True)]
        return total

    def scale(own: int) -> Fraction:
        value = Fraction(1)
        for position, point in enumerate(points):
            value *= points[own] - point if position != own else 1
        return value

    inverse = tuple((*(p**i for p in points), Fraction(int(i == m - 1))) for i in range(m))
    weight = (
        *(tuple(p**k / scale(i) for k in range(TAPS)) for i, p in enumerate(points)),
        tuple(Fraction(int(k == TAPS - 1)) for k in range(TAPS)),
    )
    image = (
        *((*product(i), Fraction(0)) for i in range(finite)),
        tuple(product(-1)),
    )
    return Transforms(inverse, weight, image)


def matrix(rows: Rows) -> np.ndarray:
    """A matrix of fractions as fp64."""
    return np.array([[float(value) for value in row] for row in rows], np.float64)


def transformed(weight: np.ndarray, m: int) -> np.ndarray:
    """``[outputs, inputs, 3, 3]`` as ``[(m+2)², outputs, inputs]``, worked out in fp64, fp32."""
    g = matrix(transforms(m).weight)
    each = np.einsum("ai,ocij,bj->aboc", g, weight.astype(np.float64), g, optimize=True)
    return np.ascontiguousarray(each.reshape(-1, *weight.shape[:2]).astype(np.float32))


def tiles_of(space: tuple[int, int], m: int) -> tuple[int, int]:
    """How many tiles cover an output of that height and width."""
    return -(-space[0] // m), -(-space[1] // m)


def tile_of(inputs: int, outputs: int, images: int, space: tuple[int, int]) -> int:
    """The cheapest ``m`` for a convolution that gives ``images`` outputs of that height and width, or 0."""

    def cost(m: int) -> int:
        down, across = tiles_of(space, m)
        products, weights = images * down * across, inputs * outputs
        each = products * (weights + _OF_TRANSFORM * (inputs + outputs)) + _OF_WEIGHT * weights
        return each * (m + TAPS - 1) ** 2

    direct = TAPS**2 * inputs * outputs * (images * space[0] * space[1] + _OF_WEIGHT)
    best = min(_POINTS, key=cost)
    return best if cost(best) < _ENOUGH * direct else 0
