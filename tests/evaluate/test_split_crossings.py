"""Where curves over link rates cross, and what is said of it."""

from __future__ import annotations

import pytest

from edgepress.evaluate.crossings import crossings

RATES = (1e5, 1e6, 1e7, 1e8)


def line(name: str, *times: float) -> tuple[str, list[tuple[float, float]]]:
    return name, list(zip(RATES, times, strict=True))


def test_one_crossing_between_two_rates() -> None:
    found = crossings(line("split", 100, 40, 30, 29), line("device", 40, 40 * 40 / 16, 60, 60))
    # From 2.5 times as much to 0.4 of it: halfway on logarithmic axes.
    assert found.rates == pytest.approx([10**5.5])
    assert found.below == (False, True, True, True)
    assert found.verdict == (
        "split is, beside device, slower from 0.1 Mbit/s to 0.32 Mbit/s (up to 2.50 times), "
        "faster from 0.32 Mbit/s to 100 Mbit/s (up to 2.50 times)"
    )


def test_none_and_two() -> None:
    never = crossings(line("a", 1, 1, 1, 1), line("b", 2, 3, 2, 2))
    assert (
        never.rates == ()
        and never.verdict == "a is, beside b, faster from 0.1 Mbit/s to 100 Mbit/s (up to 3.00 times)"
    )
    twice = crossings(line("a", 2, 1, 1, 2), line("b", 1, 2, 2, 1))
    assert twice.rates == pytest.approx([10**5.5, 10**7.5]) and twice.verdict.count("slower") == 2
    assert "faster from 0.32 Mbit/s to 32 Mbit/s" in twice.verdict


def test_one_rate_alone() -> None:
    found = crossings(("a", [(1e6, 3.0)]), ("b", [(1e6, 6.0)]))
    assert found.rates == () and "faster at 1 Mbit/s (2.00 times)" in found.verdict
