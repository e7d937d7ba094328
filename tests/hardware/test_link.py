"""Links: how they are written, and the time that bytes take."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.errors import UsageError
from edgepress.hardware.link import LONGEST, Link, parse_delay, parse_link, parse_rate


@pytest.mark.parametrize(
    ("text", "rate", "trip"),
    [
        ("1mbit,20ms", 1e6, 0.02),
        ("100kbit", 1e5, 0.0),
        (" 0.3 Mbit/s , 5 ms ", 3e5, 0.005),
        ("2.5Gbit,300us", 2.5e9, 3e-4),
        ("9600bit,1s", 9600.0, 1.0),
        ("5mbps,0ms", 5e6, 0.0),
        (".5mbit,20.ms", 5e5, 0.02),
    ],
)
def test_links_as_people_write_them(text: str, rate: float, trip: float) -> None:
    found = parse_link(text)
    assert found.bits_per_s == pytest.approx(rate)
    assert found.delay_s == pytest.approx(trip) and found.one_way_s == pytest.approx(trip / 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no rate of a link; write it like 1mbit,20ms or 100kbit"),
        ("1", "'1' is no rate"),
        ("fast,20ms", "'fast' is no rate"),
        ("1mbyte", "'1mbyte' is no rate"),
        ("-1mbit", "'-1mbit' is no rate"),
        ("nanmbit", "no rate"),
        ("1mbit,", "'' is no delay; write it like 20ms or 0.1s"),
        ("1mbit,20", "'20' is no delay"),
        ("1mbit,20ms,3", "'20ms,3' is no delay"),
        ("0mbit", "a rate is at least 1 bit/s"),
        ("1mbit,11s", "a round trip of 11 s; it takes from 0 to 10 s"),
        ("9" * 400 + "mbit", "a link of inf bit/s"),
    ],
)
def test_what_is_no_link_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_link(text)
    assert said in str(refused.value) and len(str(refused.value)) < 300


@given(st.floats(1, 1e12), st.floats(0, LONGEST))
def test_a_link_is_read_as_it_is_written(rate: float, trip: float) -> None:
    written = parse_link(str(Link(rate, trip)))
    assert written.bits_per_s == pytest.approx(rate, rel=1e-9)
    assert written.delay_s == pytest.approx(trip, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("rate", "trip"), [(math.nan, 0.0), (math.inf, 0.0), (0.5, 0.0), (1e6, -0.1), (1e6, math.nan)]
)
def test_figures_that_no_link_has(rate: float, trip: float) -> None:
    with pytest.raises(ValueError):
        Link(rate, trip)


def test_the_time_of_bytes() -> None:
    slow = Link(parse_rate("100kbit"), parse_delay("20ms"))
    assert slow.carry_s(3000) == pytest.approx(0.240 + 0.010)
    assert slow.exchange_s(3000, 125) == pytest.approx(0.240 + 0.010 + 0.020)
