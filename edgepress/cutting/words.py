"""A decision in words: link rates, crossings, the verdict, and what to do next."""

from __future__ import annotations

import math
import shlex

from edgepress.cutting.decide import Crossing, Decision
from edgepress.cutting.options import ALL_DEVICE, ALL_SERVER, SPLIT
from edgepress.measurement import Measurement

_STUDENT = "split, student"


def rate_for_people(bits: float) -> str:
    """A link's rate: ``5 Mbit/s``."""
    power = min(3, max(0, math.floor(math.log10(bits)) // 3))
    return f"{bits / 1e3**power:.3g} {('bit', 'kbit', 'Mbit', 'Gbit')[power]}/s"


def crossing_words(one: Crossing) -> str:
    """A crossing as a sentence."""
    figure = one.rate
    text = f"Below {rate_for_people(figure.value or 1.0)} {one.below} is fastest, above {one.above}"
    if figure.low is not None and figure.high is not None:
        text += f" (estimated, between {rate_for_people(figure.low)} and {rate_for_people(figure.high)})"
    return f"{text}."


def verdict(found: Decision) -> str:
    """Which division of the work is fastest over the link, beside the best of the other kinds."""
    over = f"At {rate_for_people(found.link.bits_per_s)} and {1e3 * found.link.delay_s:g} ms"
    if not found.fitting:
        return f"{over} nothing can be said: no time of the device or of the server is known."
    first = found.fitting[0]
    others = [found.best(kind) for kind in (ALL_DEVICE, ALL_SERVER, SPLIT) if kind != first.kind]
    known = sorted(
        (one for one in others if one is not None), key=lambda one: one.total(found.link).value or 0.0
    )
    text = f"{over} {first.name} is fastest with {_told(first.total(found.link))}"
    if known:
        text += ", before " + " and ".join(f"{one.name} with {_told(one.total(found.link))}" for one in known)
    if any(_overlap(first.total(found.link), one.total(found.link)) for one in known):
        text += "; their ranges overlap, so measure before you decide"
    return f"{text}."


def next_steps(found: Decision) -> list[str]:
    """What to do with it: commands, each with what it is for."""
    if not found.fitting or not found.again:
        return []
    model, first = found.again, found.fitting[0]
    steps = []
    if first.kind == ALL_DEVICE:
        method = " --method int8" if "int8" in first.curve else ""
        steps.append(f"on the device:    edgepress build {model} --target {found.target}{method}")
    elif first.kind == ALL_SERVER:
        steps.append(f"on the server:    edgepress build {model} --target {found.server} -o whole.edge")
        steps.append("                  edgepress serve whole.edge")
    student = next((one for one in found.fitting if one.curve == _STUDENT), None)
    if student is not None:
        cut = f" --cut {shlex.quote(student.layer)}" if student.layer else ""
        total = _told(student.total(found.link))
        steps.append(
            f"a student ({total}): edgepress train student {model}{cut} --data DIR -o student.safetensors"
        )
        boards = f"device={found.target},server={found.server}"
        steps.append(f"                  edgepress build student.safetensors --target {boards}")
    return steps


def origins(found: Decision) -> list[str]:
    """How each figure was come by: a line for each source, with what it is the source of."""
    sources: dict[tuple[str, str], list[str]] = {}
    for one in found.options:
        figures = [("device", one.curve, one.device)]
        figures.append(("server", "student" if one.curve == _STUDENT else "the rest", one.server))
        if one.sent is not None:
            figures.append(("KB", one.sent.name, one.sent.bytes))
        for column, what, figure in figures:
            if figure.value:
                whats = sources.setdefault((column, f"{figure.origin}: {figure.how}"), [])
                known = [each for key, names in sources.items() if key[0] == column for each in names]
                whats += [what] if what not in known else []
    return [
        f"{column} of {' / '.join(whats)}: {how}"
        for (column, how), whats in sorted(sources.items(), key=lambda item: item[0][0])
        if whats
    ]


def _told(figure: Measurement) -> str:
    return f"{figure.value:.0f} ms ({figure.origin})"


def _overlap(a: Measurement, b: Measurement) -> bool:
    ends = (a.low, a.high, b.low, b.high)
    if any(each is None for each in ends):
        return False
    return a.low <= b.high and b.low <= a.high  # type: ignore[operator]
