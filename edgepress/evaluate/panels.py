"""Draw lines in panels, as one SVG picture: axes, ticks, marks, one legend for all. Needs no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Of M. Okabe and K. Ito, which colour-blind people tell apart; the marks tell them apart without colour, too.
_COLOURS = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKS = (
    "M-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0Z",
    "M-3,-3H3V3H-3Z",
    "M0,-4L4,3H-4Z",
    "M0,-4.3L4.3,0L0,4.3L-4.3,0Z",
    "M0,4L4,-3H-4Z",
    "M-4,-1H-1V-4H1V-1H4V1H1V4H-1V1H-4Z",
    "M-4,0L0,-2L4,0L0,2Z",
)
_WIDTH, _HEIGHT = 430, 300  # of a panel, its margins included, unless it is told otherwise
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 44
_LEGEND, _LEGEND_ROW = 44, 18
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


@dataclass(frozen=True)
class Line:
    """A named line: points ``(x, y)`` in rising order of x; every ``mark_every``-th of them gets a mark."""

    name: str
    points: tuple[tuple[float, float], ...]
    mark_every: int = 1


@dataclass(frozen=True)
class Upright:
    """A dashed line from bottom to top, with a few words at its head."""

    at: float
    words: str


@dataclass(frozen=True)
class Panel:
    """Lines over a logarithmic axis.

    Attributes:
        title: stands above the panel.
        across: what the horizontal axis shows, with its unit.
        up: what the vertical one does.
        lines: those without points are left out.
        percent: write shares as percent.
        logarithmic: the vertical axis is that too; its figures are above 0.
        uprights: places on the horizontal axis, in rising order.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    percent: bool = False
    logarithmic: bool = False
    uprights: tuple[Upright, ...] = ()


def svg(
    title: str,
    about: str,
    panels: Sequence[Panel],
    columns: int = 2,
    size: tuple[int, int] = (_WIDTH, _HEIGHT),
) -> str:
    """A picture of panels in rows, with a legend above.

    Args:
        title: stands at the top.
        about: a sentence for those who cannot see it.
        panels: at least one; lines with the same name look alike in all, and those that show the same across have
            the same horizontal axis.
        columns: panels in a row.
        size: width and height of a panel, its margins included.
    """
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    columns = min(columns, len(panels))
    width = columns * size[0]
    legend = _LEGEND + _LEGEND_ROW * (math.ceil(len(names) / _legend_rows(names, width)[0]) - 1)
    height = math.ceil(len(panels) / columns) * size[1] + legend + 24
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' {_FONT} font-size='12' fill='#222'>",
        f"<title>{escape(title)}</title><desc>{escape(about)}</desc>",
        "<rect width='100%' height='100%' fill='#fff'/>",
        f"<text x='{_LEFT}' y='24' font-size='15' font-weight='600'>{escape(title)}</text>",
        _legend(names, width),
    ]
    for index, panel in enumerate(panels):
        alike = [line for other in panels if other.across == panel.across for line in other.lines]
        xs = [x for line in alike for x, _ in line.points]
        across = _Axis(math.log10(min(xs, default=1)), math.log10(max(xs, default=1)))
        row, column = divmod(index, columns)
        place = f"translate({column * size[0]},{row * size[1] + legend + 16})"
        parts.append(f"<g transform='{place}'>{_panel(panel, names, across, size)}</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True)
class _Axis:
    """The figures at both ends, before a margin of 4 %."""

    first: float
    last: float

    def at(self, value: float) -> float:
        """Where a figure lies: 0 at the beginning, 1 at the end."""
        span = (self.last - self.first) or 1.0
        return ((value - self.first) / span + 0.04) / 1.08


def _panel(panel: Panel, names: Sequence[str], across: _Axis, size: tuple[int, int]) -> str:
    inner, tall = size[0] - _LEFT - _RIGHT, size[1] - _TOP - _BOTTOM
    ys = [y for line in panel.lines for _, y in line.points]
    if not ys:
        middle = f"x='{_LEFT + inner / 2:.0f}' y='{_TOP + tall / 2:.0f}' text-anchor='middle' fill='#777'"
        return f"{_heading(panel, size)}<text {middle}>not measured</text>"
    scale = math.log10 if panel.logarithmic else float
    up = _Axis(scale(min(ys)), scale(max(ys)))

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + across.at(math.log10(x)) * inner, _TOP + (1 - up.at(scale(y))) * tall

    parts = [_heading(panel, size)]
    for x in _decades(across):
        left = place(x, ys[0])[0]
        parts.append(f"<path d='M{left:.1f},{_TOP}v{tall}' stroke='#e4e4e4'/>")
        parts.append(f"<text x='{left:.1f}' y='{_TOP + tall + 17}' text-anchor='middle'>{x:g}</text>")
    for y, text in _up_ticks(panel, up):
        top = place(10**across.first, y)[1]
        parts.append(f"<path d='M{_LEFT},{top:.1f}h{inner}' stroke='#e4e4e4'/>")
        parts.append(f"<text x='{_LEFT - 7}' y='{top + 4:.1f}' text-anchor='end'>{text}</text>")
    for number, upright in enumerate(panel.uprights):
        left, ended = place(upright.at, ys[0])[0], upright.at > 10 ** ((across.first + across.last) / 2)
        anchor, beside = ("end", -5) if ended else ("start", 5)
        parts.append(f"<path d='M{left:.1f},{_TOP}v{tall}' stroke='#666' stroke-dasharray='5 4'/>")
        parts.append(
            f"<text x='{left + beside:.1f}' y='{_TOP + 16 + 15 * number}' text-anchor='{anchor}' "
            f"stroke='#fff' stroke-width='4' paint-order='stroke'>{escape(upright.words)}</text>"
        )
    parts.append(f"<rect x='{_LEFT}' y='{_TOP}' width='{inner}' height='{tall}' fill='none' stroke='#888'/>")
    # The first line is the one that the picture is about: it lies above the others.
    for line in reversed(panel.lines):
        look = names.index(line.name)
        points = [place(x, y) for x, y in line.points]
        road = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        stroke = f"stroke='{_colour(look)}' stroke-width='{2.4 if look == 0 else 1.5}'"
        parts.append(f"<polyline points='{road}' fill='none' stroke-linejoin='round' {stroke}/>")
        parts += [_mark(look, x, y) for x, y in points[:: line.mark_every]]
    return "".join(parts)


def _up_ticks(panel: Panel, up: _Axis) -> list[tuple[float, str]]:
    """Figures on the vertical axis, and how they are written."""
    if panel.logarithmic:
        return [(y, f"{y:g}") for y in _decades(up)]
    ticks, decimals = _round_figures(up)
    if panel.percent:
        return [(y, f"{100 * y:.{max(0, decimals - 2)}f} %") for y in ticks]
    return [(y, f"{y:.{decimals}f}") for y in ticks]


def _heading(panel: Panel, size: tuple[int, int]) -> str:
    middle = _LEFT + (size[0] - _LEFT - _RIGHT) / 2
    return (
        f"<text x='{_LEFT}' y='{_TOP - 10}' font-weight='600'>{escape(panel.title)}</text>"
        f"<text x='{middle:.0f}' y='{size[1] - 10}' text-anchor='middle' fill='#555'>{escape(panel.across)}</text>"
        f"<text transform='translate(13,{_TOP + (size[1] - _TOP - _BOTTOM) / 2:.0f}) rotate(-90)' "
        f"text-anchor='middle' fill='#555'>{escape(panel.up)}</text>"
    )


def _legend_rows(names: Sequence[str], width: int) -> tuple[int, float]:
    """How many names stand side by side, and how far apart."""
    room = width - _LEFT - _RIGHT
    longest = max(map(len, names), default=0)
    step = max(min(150.0, room / max(1, len(names))), 36 + 6.6 * longest)
    return max(1, int(room // step)), step


def _legend(names: Sequence[str], width: int) -> str:
    in_row, step = _legend_rows(names, width)
    parts = []
    for index, name in enumerate(names):
        row, column = divmod(index, in_row)
        x, y = _LEFT + 12 + column * step, 40 + _LEGEND_ROW * row
        parts.append(f"<path d='M{x - 12:.1f},{y}h24' stroke='{_colour(index)}' stroke-width='2'/>")
        parts.append(_mark(index, x, y))
        parts.append(f"<text x='{x + 18:.1f}' y='{y + 4}'>{escape(name)}</text>")
    return "".join(parts)


def _mark(look: int, x: float, y: float) -> str:
    mark = _MARKS[look % len(_MARKS)]
    return f"<path d='{mark}' transform='translate({x:.1f},{y:.1f})' fill='{_colour(look)}'/>"


def _colour(look: int) -> str:
    return _COLOURS[look % len(_COLOURS)]


def _decades(axis: _Axis) -> list[float]:
    """1, 2 and 5 times the powers of ten inside of a logarithmic axis."""
    powers = range(math.floor(axis.first), math.ceil(axis.last) + 1)
    figures = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [figure for figure in figures if 0 <= axis.at(math.log10(figure)) <= 1]


def _round_figures(axis: _Axis) -> tuple[list[float], int]:
    """Four to eight round figures inside of an axis, and how many decimals they need."""
    span = (axis.last - axis.first) or 1.0
    power = math.floor(math.log10(span))
    digit, power = next(
        (digit, power - lower)
        for lower, digit in ((0, 5), (0, 2), (0, 1), (1, 5), (1, 2), (1, 1))
        if span / (digit * 10 ** (power - lower)) >= 4
    )
    step = digit * 10.0**power
    first, last = math.ceil((axis.first - 0.04 * span) / step), math.floor((axis.last + 0.04 * span) / step)
    return [index * step for index in range(first, last + 1)], max(0, -power)
