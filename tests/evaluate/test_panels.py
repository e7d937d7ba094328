"""The drawing: whole XML, every point in its panel, ticks that are round."""

from __future__ import annotations

import re
import xml.etree.ElementTree as xml
from itertools import pairwise

import pytest

from edgepress.evaluate.panels import Line, Panel, svg

SVG = "{http://www.w3.org/2000/svg}"
LINES = (
    Line("one & <two>", ((0.1, 20.0), (0.5, 30.0), (4.0, 44.0))),
    Line("other", ((0.2, 18.0), (2.0, 35.5))),
)


def roads(root: xml.Element) -> list[list[tuple[float, float]]]:
    """The points of each line, as they are drawn."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", line.attrib["points"])]
        for line in root.iter(f"{SVG}polyline")
    ]


def texts(root: xml.Element) -> list[str]:
    """All that is written."""
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_every_point_lies_inside_of_its_panel_and_in_order() -> None:
    root = xml.fromstring(svg("a title", "about it", [Panel("p", "bits", "dB", LINES)]))
    frame = root.findall(f".//{SVG}g/{SVG}rect")[0].attrib
    left, top, wide, tall = (float(frame[key]) for key in ("x", "y", "width", "height"))
    found = roads(root)
    assert sorted(map(len, found)) == [2, 3]
    for road in found:
        assert all(left < x < left + wide and top < y < top + tall for x, y in road)
        assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(road))
    highest, lowest = min(y for road in found for _, y in road), max(y for road in found for _, y in road)
    assert highest - top == pytest.approx(top + tall - lowest, abs=0.2)  # the same margin above and below


def test_it_says_what_it_shows() -> None:
    root = xml.fromstring(svg("a title", "about it", [Panel("p", "bits", "dB", LINES)]))
    assert (root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")) == ("a title", "about it")
    assert {"one & <two>", "other", "bits", "dB", "0.1", "0.2", "0.5", "1", "2", "20", "40"} <= set(
        texts(root)
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.951, 0.999), {"0.95", "0.96", "0.97", "0.98", "0.99", "1.00"}),
        ((0.0, 1.0), {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"}),
        ((21.0, 43.0), {"25", "30", "35", "40"}),
        ((30.0, 30.0), {"30.0"}),
    ],
)
def test_ticks_are_round(values: tuple[float, float], expected: set[str]) -> None:
    line = Line("a", tuple(zip((1.0, 2.0), values, strict=True)))
    assert expected <= set(texts(xml.fromstring(svg("t", "d", [Panel("p", "x", "y", (line,))]))))


def test_shares_are_percent() -> None:
    line = Line("a", ((1.0, 0.25), (2.0, 1.0)))
    found = texts(xml.fromstring(svg("t", "d", [Panel("p", "x", "y", (line,), percent=True)])))
    assert {"40 %", "100 %"} <= set(found)


def test_a_panel_without_points_says_so() -> None:
    panels = [Panel("p", "x", "y", LINES), Panel("q", "x", "y", (Line("other", ()),))]
    root = xml.fromstring(svg("t", "d", panels))
    assert texts(root).count("not measured") == 1
    assert len(roads(root)) == 2
    assert "not measured" in texts(xml.fromstring(svg("t", "d", panels[1:])))
