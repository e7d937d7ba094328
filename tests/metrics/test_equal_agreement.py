"""Bytes at equal agreement: the curve, the quotient, its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.metrics.equal_agreement import (
    Counts,
    at_agreement,
    at_rate,
    draws,
    mean_interval,
    non_decreasing,
)

PICTURES = 200
WEIGHTS = draws(PICTURES, 400)


def coder(points: list[tuple[float, float]], seed: int = 0) -> Counts:
    """Of each rate, mean bytes (those of pictures differ) and exactly that share of agreement."""
    spread = np.random.default_rng(seed).uniform(0.5, 1.5, PICTURES)
    sizes = np.stack([mean * spread / spread.mean() for mean, _ in points])
    order = np.random.default_rng(seed + 1).permutation(PICTURES)
    agrees = np.stack([order < share * PICTURES for _, share in points])
    return Counts(sizes, agrees)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_nearest_curve_that_does_not_fall(values: list[float]) -> None:
    found = non_decreasing(np.array(values))
    assert (np.diff(found) >= -1e-12).all()
    assert found.mean() == pytest.approx(np.mean(values))
    assert non_decreasing(found) == pytest.approx(found)
    rises = np.sort(values)
    assert np.sum((found - values) ** 2) <= np.sum((rises - values) ** 2) + 1e-9  # any other is no nearer


def test_what_rises_stays_and_what_falls_is_pooled() -> None:
    assert non_decreasing(np.array([0.1, 0.4, 0.9])).tolist() == [0.1, 0.4, 0.9]
    assert non_decreasing(np.array([0.2, 0.6, 0.4, 0.8])) == pytest.approx([0.2, 0.5, 0.5, 0.8])
    assert non_decreasing(np.array([0.9, 0.6, 0.3])) == pytest.approx([0.6, 0.6, 0.6])


def test_bytes_between_two_rates_lie_on_a_line_over_their_logarithm() -> None:
    other = coder([(1000, 0.5), (4000, 0.9)])
    found = at_agreement(coder([(1000, 0.7)]), 0.7, other, WEIGHTS)
    assert found.second == pytest.approx(2000)
    assert found.first == pytest.approx(1000) and found.value == pytest.approx(0.5)
    assert found.low <= found.value <= found.high


def test_equal_coders_need_equal_bytes_in_every_draw() -> None:
    one = coder([(1000, 0.5), (2000, 0.7), (4000, 0.9)])
    for found in (at_rate(one, 1, one, WEIGHTS), at_agreement(one, 0.8, one, WEIGHTS)):
        assert found.value == pytest.approx(1) and found.low - 1e-9 <= 1 <= found.high + 1e-9
    # The same examples are drawn for both: what is twice as large is so in every draw.
    double = Counts(one.sizes * 2, one.agrees)
    found = at_agreement(one, 0.7, double, WEIGHTS)
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_a_rate_is_compared_at_its_own_agreement() -> None:
    one, other = coder([(1500, 0.8), (3000, 0.9)]), coder([(1000, 0.3), (2000, 0.7), (8000, 0.9)])
    found = at_rate(one, 0, other, WEIGHTS)
    assert found.agreement == pytest.approx(0.8)
    assert found.second == pytest.approx(4000) and found.value == pytest.approx(1500 / 4000)
    assert 0.2 < found.low < found.value < found.high < 0.7


def test_what_a_coder_does_not_reach() -> None:
    weak, strong = coder([(500, 0.2), (1000, 0.5)]), coder([(800, 0.3), (900, 0.95)])
    found = at_rate(strong, 1, weak, WEIGHTS)
    assert found.second == math.inf and (found.value, found.low, found.high) == (0, 0, 0)
    found = at_agreement(weak, 0.9, strong, WEIGHTS)
    assert found.first == math.inf and found.value == math.inf and found.high == math.inf
    # Below the other's first rate nobody knows: the worst for the first.
    found = at_agreement(strong, 0.3, coder([(800, 0.6)]), WEIGHTS)
    assert found.second == 0 and found.value == math.inf


def test_draws_are_the_same_for_the_same_seed() -> None:
    assert (draws(50, 20, 3) == draws(50, 20, 3)).all() and (draws(50, 20, 3) != draws(50, 20, 4)).any()
    assert draws(50, 20).sum(axis=1) == pytest.approx(np.ones(21))
    low, high = mean_interval(np.arange(100.0), draws(100, 500))
    assert low < 49.5 < high and high - low == pytest.approx(2 * 1.96 * 28.9 / 10, rel=0.2)


@pytest.mark.parametrize(
    ("sizes", "agrees"),
    [
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(3), np.ones(3)),
        (np.zeros((1, 3)), np.ones((1, 3))),
        (np.ones((0, 3)),) * 2,
    ],
)
def test_counts_that_are_none(sizes: np.ndarray, agrees: np.ndarray) -> None:
    with pytest.raises(ValueError):
        Counts(sizes, agrees)
