"""Figures of merit against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.metrics.accuracy import agreement, top_k, wilson_interval
from edgepress.metrics.signal import cosine, max_abs_error, psnr_db, sqnr_db


def test_wilson_agrees_with_published_values() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81/263 and 0/20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(case: tuple[int, int]) -> None:
    low, high = wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] + 1e-12 and case[0] / case[1] - 1e-12 <= high <= 1


@pytest.mark.parametrize("case", [(1, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_what_is_no_share(case: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(*case)


def test_top_k_and_agreement() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.7, 0.7, 0.0], [0.0, 0.2, 0.1]])
    labels = np.array([2, 1, 1])
    assert top_k(scores, labels) == pytest.approx(1 / 3)  # of the tie in row 1, class 0 comes first
    assert top_k(scores, labels, 2) == 1.0
    assert agreement(scores, scores[:, ::-1]) == pytest.approx(
        2 / 3
    )  # row 1 turned round: class 1 for class 0


def test_shapes_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="do not belong"):
        top_k(np.zeros((2, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="k is from 1 to 3"):
        top_k(np.zeros((2, 3)), np.zeros(2, int), 4)
    with pytest.raises(ValueError, match="do not belong"):
        agreement(np.zeros((2, 3)), np.zeros((2, 4)))


def test_signal_figures() -> None:
    reference = np.array([3.0, 4.0], np.float32)
    assert sqnr_db(reference, reference + np.float32(0.5)) == pytest.approx(10 * math.log10(25 / 0.5))
    assert sqnr_db(reference, reference) == math.inf
    assert sqnr_db(np.zeros(2), np.ones(2)) == -math.inf
    assert max_abs_error(reference, np.array([3.0, 2.0])) == 2.0
    assert max_abs_error(np.zeros(0), np.zeros(0)) == 0.0
    assert cosine(reference, 7 * reference) == pytest.approx(1.0)
    assert cosine(reference, np.array([-4.0, 3.0])) == pytest.approx(0.0)
    assert cosine(np.zeros(2), np.zeros(2)) == 1.0 and cosine(np.zeros(2), reference) == 0.0


def test_unsigned_integers_do_not_wrap() -> None:
    assert max_abs_error(np.array([1], np.uint8), np.array([2], np.uint8)) == 1.0
    assert math.isfinite(cosine(np.array([1e300, 1.0]), np.array([1e300, -1.0])))


def test_psnr_by_hand() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    other = picture.copy()
    other[0, 0] = 255, 0, 0  # one sample of eighteen as wrong as can be
    assert psnr_db(picture, other) == pytest.approx(10 * math.log10(18))
    assert psnr_db(picture, other, peak=510) == pytest.approx(10 * math.log10(18 * 4))
    assert psnr_db(other, other) == math.inf
    for wrong in (picture[:1], picture[:0]):
        with pytest.raises(ValueError, match="cannot be compared"):
            psnr_db(wrong, picture[:0])
