"""What is said of a sender's points, and of its bytes beside another's."""

from __future__ import annotations

import numpy as np
import pytest

from edgepress.evaluate.split_points import Attempts, compare_bytes, curve

PICTURES = 200
TEACHER = np.zeros(PICTURES, np.int64)


def attempts(*points: tuple[int, float]) -> Attempts:
    """Of each rate: bytes of every picture, and the share that agrees."""
    sizes = np.array([[size] * PICTURES for size, _ in points])
    wrong = np.array([np.arange(PICTURES) >= share * PICTURES for _, share in points])
    return Attempts(sizes, wrong.astype(np.int64))


OTHER = attempts((1000, 0.3), (2000, 0.7), (8000, 0.9))


def test_a_point_has_its_intervals_and_their_origin() -> None:
    found = curve("a", "about", (0, 1), attempts((500, 0.5), (900, 0.9)), TEACHER, TEACHER + 1, "a table")
    first = found.points[0]
    assert (first.bytes.value, first.bytes.low, first.bytes.high) == pytest.approx((500, 500, 500))
    assert first.agreement.value == 0.5 and first.accuracy.value == 0.5  # wrong ones are all of class 1
    assert first.agreement.low == pytest.approx(0.431, abs=0.002) and "Wilson" in first.agreement.how
    assert "labels: a table" in first.accuracy.how and "2000 draws" in first.bytes.how
    without = curve("a", "about", (0,), attempts((500, 0.5)), TEACHER, None, "").points[0]
    assert (without.accuracy.value, without.accuracy.origin) == (None, "unavailable")


def test_who_needs_fewer_is_said_where_it_is_known() -> None:
    def verdict(*points: tuple[int, float]) -> str:
        return compare_bytes("ours", range(len(points)), attempts(*points), "jpeg", OTHER, TEACHER, ())[
            -1
        ].verdict

    assert verdict((1500, 0.8)).startswith(
        "at 80.0% ours sends 1,500 bytes and jpeg 4,000: a ratio of 0.38 ["
    )
    assert verdict((1500, 0.8)).endswith("; ours needs fewer")
    assert verdict((9000, 0.8)).endswith("; ours needs more")
    assert verdict((4000, 0.8)).endswith("; these pictures do not tell which needs fewer")
    assert verdict((4000, 0.95)) == "jpeg does not reach an agreement of 95.0% at any of its rates"


def test_what_is_not_known_is_not_made_up() -> None:
    ours = attempts((700, 0.2), (1500, 0.8))
    low, high, given = compare_bytes("ours", (0, 1), ours, "jpeg", OTHER, TEACHER, (0.85,))
    assert low.verdict.startswith("every rate of jpeg passes an agreement of 20.0%")
    assert (low.bytes, low.other_bytes, low.ratio.origin) == (700, None, "unavailable")
    assert (high.rate, high.ratio.origin) == (1, "measured") and high.ratio.high is not None
    assert given.verdict == "ours does not reach an agreement of 85.0% at any of its rates"
    assert (given.rate, given.bytes, given.ratio.value) == (None, None, None)
