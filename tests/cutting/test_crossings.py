"""Crossings are where lines cross, and between them the fastest is the fastest."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.cutting.crossings import Road, by_kind, fastest, meeting

LOW, HIGH = 1e5, 1e8
figures = st.floats(1e-4, 10.0), st.floats(0.0, 1e7)
roads = st.lists(
    st.builds(lambda fixed, bits, kind: (fixed, bits, kind), *figures, st.sampled_from("abc")),
    min_size=1,
    max_size=9,
).map(lambda rows: [Road(f"{number}", kind, fixed, bits) for number, (fixed, bits, kind) in enumerate(rows)])


def test_two_lines_cross_where_both_take_the_same_time() -> None:
    device, server = Road("device", "d", 0.05, 0.0), Road("server", "s", 0.03, 2e4)
    rate = meeting(device, server)
    assert rate == meeting(server, device) == pytest.approx(1e6)
    assert server.seconds(1e6) == pytest.approx(device.seconds(1e6))
    ((where, below, above),) = by_kind(fastest([device, server], LOW, HIGH))
    assert (below.road, above.road) == (device, server) and where == pytest.approx(1e6)


def test_what_is_faster_everywhere_crosses_nothing() -> None:
    better, worse = Road("better", "b", 0.01, 10.0), Road("worse", "w", 0.02, 20.0)
    assert meeting(better, worse) is None and meeting(better, better) is None
    assert [reign.road for reign in fastest([worse, better], LOW, HIGH)] == [better]


@given(roads, st.floats(0, 1))
def test_nobody_is_faster_than_the_fastest(given_roads: list[Road], at: float) -> None:
    rate = LOW * (HIGH / LOW) ** at
    reigns = fastest(given_roads, LOW, HIGH)
    assert (reigns[0].low, reigns[-1].high) == (LOW, HIGH)
    assert all(a.high == b.low for a, b in pairwise(reigns))
    ruler = next(reign.road for reign in reigns if reign.low <= rate <= reign.high)
    assert ruler.seconds(rate) <= min(road.seconds(rate) for road in given_roads) * (1 + 1e-9)


@given(roads)
def test_at_a_crossing_both_take_the_same_time(given_roads: list[Road]) -> None:
    for rate, below, above in by_kind(fastest(given_roads, LOW, HIGH)):
        assert LOW < rate < HIGH and below.road.kind != above.road.kind
        assert below.road.seconds(rate) == pytest.approx(above.road.seconds(rate), rel=1e-6)
