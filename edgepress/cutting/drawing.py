"""Latency against the link's rate as a picture: one curve for each way to divide the work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgepress.cutting.crossings import Road
from edgepress.cutting.decide import FASTEST, SLOWEST, Crossing, Decision
from edgepress.cutting.options import ALL_DEVICE, ALL_SERVER, SPLIT, Option
from edgepress.cutting.words import rate_for_people
from edgepress.evaluate.panels import Line, Panel, Upright, svg
from edgepress.replacing import replacing

_STEPS = 16  # points a decade
_ORDER = (SPLIT, ALL_DEVICE, ALL_SERVER)


def draw(found: Decision, path: Path) -> None:
    """Write the curves as an SVG picture, with the crossings and the link that was asked about.

    Raises:
        StorageError: the file cannot be written.
    """
    delay = found.link.delay_s
    curves: dict[str, list[Road]] = {}
    for one in sorted(_drawn(found.options), key=lambda one: _ORDER.index(one.kind)):
        curves.setdefault(one.name if one.kind == ALL_DEVICE else one.curve, []).append(one.road(delay))
    lines = tuple(Line(name, _points(roads), _STEPS // 2) for name, roads in curves.items())
    asked = Upright(_mbit(found.link.bits_per_s), f"asked: {rate_for_people(found.link.bits_per_s)}")
    inside = SLOWEST <= found.link.bits_per_s <= FASTEST
    uprights = [*(_upright(one, found.options) for one in found.crossings), *([asked] if inside else [])]
    panel = Panel(
        f"latency with {1e3 * delay:g} ms there and back; of split curves the best cut at each rate",
        "link rate, Mbit/s", "ms, from the input to the answer", lines, logarithmic=True,
        uprights=tuple(sorted(uprights, key=lambda one: one.at)),
    )  # fmt: skip
    title = f"{found.model} between {found.target} and {found.server}"
    about = f"End-to-end latency over the link's rate of {', '.join(curves)}; estimated."
    with replacing(path, "choose another place with --plot") as file:
        file.write(svg(title, about, [panel], size=(940, 480)).encode())


def _drawn(options: Sequence[Option]) -> list[Option]:
    """All but the larger ones of several files of the same picture, whose curves would lie on each other."""
    files = [one for one in options if one.kind == ALL_SERVER and one.sent is not None]
    files.sort(key=lambda one: one.sent.bytes.value or 0.0 if one.sent else 0.0)
    between = {one.curve for one in files[1:-1]}
    return [one for one in options if one.curve not in between]


def _upright(one: Crossing, options: Sequence[Option]) -> Upright:
    kinds = {option.name: option.kind for option in options}
    value = one.rate.value or SLOWEST
    words = f"{rate_for_people(value)}: {kinds[one.below]} below, {kinds[one.above]} above"
    return Upright(_mbit(value), words)


def _points(roads: Sequence[Road]) -> tuple[tuple[float, float], ...]:
    """The best of some options over the rate, in Mbit/s and ms."""
    decades = 3
    rates = [
        SLOWEST * (FASTEST / SLOWEST) ** (step / (decades * _STEPS)) for step in range(decades * _STEPS + 1)
    ]
    return tuple((_mbit(rate), 1e3 * min(road.seconds(rate) for road in roads)) for rate in rates)


def _mbit(rate: float) -> float:
    return rate / 1e6
