"""The Bjøntegaard rate: worked by hand, against SciPy's cubic, and by what must hold of any."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepress.metrics.bd_rate import bd_rate, overlap, rate_at

JPEG = [(0.327, 26.67), (0.508, 29.15), (0.660, 30.49), (0.906, 32.17), (1.368, 34.52), (2.346, 38.03)]
WEBP = [(0.234, 28.33), (0.513, 31.44), (0.824, 33.97), (1.520, 37.78)]
AVIF = [(0.105, 26.78), (0.189, 28.60), (0.602, 33.40)]

steps = st.lists(st.tuples(st.floats(0.01, 2), st.floats(0.01, 5)), min_size=2, max_size=9)


def rising(lengths: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A curve that rises by the given steps."""
    rate = quality = 0.0
    points = []
    for more, better in lengths:
        rate, quality = rate + more, quality + better
        points.append((rate, quality))
    return points


def test_two_points_by_hand() -> None:
    """Straight lines in log(rate): from 2 and 8, and from 1 and 2, at qualities 30 and 40.

    ln(1/2) = −0.6931 at 30, ln(2/8) = −1.3863 at 40: −1.0397 on average, and e to that is 0.3536.
    """
    assert bd_rate([(2, 30), (8, 40)], [(1, 30), (2, 40)]) == pytest.approx(math.exp(-1.5 * math.log(2)) - 1)


def test_three_points_by_hand() -> None:
    """A curve with a bend: ln(rate) is 0, 1, 3 at the qualities 0, 1, 2, against ln(rate) = 0 everywhere near.

    Chords 1 and 2; slopes 1/2 and 5/2 at the ends (a parabola's), in the middle 2/(1/1 + 1/2) = 4/3. A Hermite cubic's
    mean is (y0 + y1)/2 + (m0 − m1)/12: 1/2 − 5/72 and 2 − 7/72, whose mean is 7/6. The anchor is ln(rate) = quality,
    with the mean 1.
    """
    bent = [(math.exp(0), 0), (math.exp(1), 1), (math.exp(3), 2)]
    straight = [(math.exp(0), 0), (math.exp(2), 2)]
    assert bd_rate(straight, bent) == pytest.approx(math.exp(7 / 6 - 1) - 1, abs=1e-12)


@pytest.mark.parametrize(
    ("anchor", "test", "expected"),
    [
        (JPEG, WEBP, -0.3576322231863721),
        (JPEG, AVIF, -0.5517361005818173),
        (WEBP, AVIF, -0.22900626981004196),
    ],
)
def test_as_with_the_cubic_of_scipy(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]], expected: float
) -> None:
    """PchipInterpolator(quality, log(rate)).integrate over the overlap, of SciPy 1.17.1."""
    assert bd_rate(anchor, test) == pytest.approx(expected, abs=1e-12)


@given(steps, st.floats(0.1, 10))
def test_all_rates_times_a_factor(lengths: list[tuple[float, float]], factor: float) -> None:
    curve = rising(lengths)
    assert bd_rate(curve, [(factor * rate, quality) for rate, quality in curve]) == pytest.approx(factor - 1)


def test_a_fifth_less_is_minus_twenty_percent() -> None:
    assert bd_rate(JPEG, [(0.8 * rate, quality) for rate, quality in JPEG]) == pytest.approx(-0.2, abs=1e-12)


@given(steps, steps)
def test_one_way_undoes_the_other(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> None:
    a, b = rising(one), rising(other)
    if max(a[0][1], b[0][1]) < min(a[-1][1], b[-1][1]):
        assert (1 + bd_rate(a, b)) * (1 + bd_rate(b, a)) == pytest.approx(1)


def test_the_order_of_points_and_the_unit_of_quality_change_nothing() -> None:
    shuffled = [JPEG[index] for index in (3, 0, 5, 1, 4, 2)]
    assert bd_rate(shuffled, WEBP) == bd_rate(JPEG, WEBP)
    assert bd_rate([(r, 10 * q - 7) for r, q in JPEG], [(r, 10 * q - 7) for r, q in WEBP]) == pytest.approx(
        bd_rate(JPEG, WEBP)
    )


def test_only_the_qualities_that_both_reach_count() -> None:
    assert overlap(JPEG, WEBP) == (28.33, 37.78)
    dearer = [*((rate, quality) for rate, quality in WEBP), (9.0, 60.0)]
    assert overlap(JPEG, dearer) == (28.33, 38.03)


def test_at_one_quality() -> None:
    anchor, test = [(2, 30), (8, 40)], [(1, 30), (2, 40)]
    assert rate_at(anchor, test, 30) == pytest.approx(-0.5)
    assert rate_at(anchor, test, 40) == pytest.approx(-0.75)
    assert rate_at(anchor, test, 35) == pytest.approx(math.sqrt(2) / 4 - 1)  # midway between logarithms
    assert rate_at(JPEG, [(0.7 * rate, quality) for rate, quality in JPEG], 33.3) == pytest.approx(-0.3)
    for quality in (29.9, 40.1):
        with pytest.raises(ValueError, match="from 30 to 40, not"):
            rate_at(anchor, test, quality)


@settings(max_examples=25)
@given(steps, steps)
def test_the_rate_is_the_mean_of_what_it_is_at_each_quality(
    one: list[tuple[float, float]], other: list[tuple[float, float]]
) -> None:
    """Logarithms of them, in 50 steps."""
    a, b = rising(one), rising(other)
    if max(a[0][1], b[0][1]) < min(a[-1][1], b[-1][1]):
        low, high = overlap(a, b)
        found = [rate_at(a, b, low + (high - low) * (index + 0.5) / 50) for index in range(50)]
        mean = sum(math.log1p(share) for share in found) / 50
        assert math.log1p(bd_rate(a, b)) == pytest.approx(mean, abs=0.1 * (1 + abs(mean)))


@pytest.mark.parametrize(
    ("anchor", "test", "words"),
    [
        (JPEG, [(1, 50), (2, 60)], "the anchor's goes from 26.67 to 38.03, the test's from 50 to 60"),
        (JPEG, [(0.1, 20), (0.2, 26.67)], "no quality in common"),
        ([(1, 30)], WEBP, "the anchor's curve has 1 points"),
        (JPEG, [], "the test's curve has 0 points"),
        (JPEG, [(0.5, 30), (1, 29)], "the test's curve does not rise: 29 at a rate of 1, 30 at 0.5"),
        (JPEG, [(0.5, 30), (0.5, 31)], "the test's curve does not rise"),
        (JPEG, [(0, 30), (1, 31)], "not above 0"),
        (JPEG, [(1, 30), (2, math.inf)], "not finite"),
        ([(1, math.nan), (2, 30)], WEBP, "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        bd_rate(anchor, test)
