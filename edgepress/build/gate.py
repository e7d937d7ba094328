"""The accuracy gate: a pressed network is held against the float one before it may ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepress.build.reference import run_graph
from edgepress.metrics.signal import sqnr_db
from edgepress.progress import Progress
from edgepress.recipe import GateLimits
from edgepress.samples import Feed, Samples

_BLOCK = 16
_LOST = "accuracy lost"


@dataclass(frozen=True)
class GateFigure:
    """One figure judged: what it is, its value, its limit, its unit, and whether it passed."""

    name: str
    value: float
    limit: float
    unit: str
    passed: bool


@dataclass(frozen=True)
class Judgement:
    """Whether the pressed network passes, why in one sentence, and the figures."""

    passed: bool
    sentence: str
    figures: tuple[GateFigure, ...]


def judge(
    plain: Path, pressed: Path, samples: Samples, limits: GateLimits, scores: str, progress: Progress
) -> Judgement:
    """Compare two graphs on examples.

    With labelled examples and class scores the limit is on accuracy lost; with class scores alone it is on
    agreement of the first choice and on the signal-to-noise ratio; otherwise on that ratio for each output.

    Args:
        plain, pressed: the float graph and the pressed one.
        samples: the examples.
        limits: what may be lost.
        scores: the output that holds class scores, or empty.
        progress: told of each block of examples.
    """
    expected: list[Feed] = []
    given: list[Feed] = []
    feeds = samples.load()
    for start in range(0, len(feeds), _BLOCK):
        block = feeds[start : start + _BLOCK]
        expected += run_graph(plain, block)
        given += run_graph(pressed, block)
        progress(min(start + _BLOCK, len(feeds)), len(feeds), "comparing")
    if scores and samples.classes:
        rows = np.size(samples.classes[0])
        figures = [
            _accuracy_lost(expected, given, samples.classes, scores, limits),
            _agreement(expected, given, scores, None, rows),
        ]
    elif scores:
        figures = [_agreement(expected, given, scores, limits), _noise(scores, expected, given, limits)]
    else:
        figures = [_noise(name, expected, given, limits) for name in expected[0]]
    passed = all(figure.passed for figure in figures)
    basis = samples.origin
    if scores and not samples.classes:
        basis += "; without labels, agreement and noise stand in for accuracy"
    verdict = "passes" if passed else "does not pass"
    judged = [figure for figure in figures if figure.limit or not figure.passed]
    told = ", ".join(map(_told, judged))
    sentence = f"{verdict}: {told}, on {basis}"
    return Judgement(passed, sentence, tuple(figures))


def _first(outputs: Feed, scores: str, rows: int = 1) -> np.ndarray:
    """The first choice of each row of scores: one for all of them, or one for each token."""
    found: np.ndarray = np.argmax(outputs[scores].reshape(rows, -1), 1)
    return found


def _agreement(
    expected: list[Feed], given: list[Feed], scores: str, limits: GateLimits | None, rows: int = 1
) -> GateFigure:
    same = [_first(a, scores, rows) == _first(b, scores, rows) for a, b in zip(expected, given, strict=True)]
    share = float(np.mean(same))
    limit = limits.agreement if limits else 0.0
    return GateFigure("agreement with the float network", share, limit, "share", share >= limit)


def _accuracy_lost(
    expected: list[Feed],
    given: list[Feed],
    classes: Sequence[int | list[int]],
    scores: str,
    limits: GateLimits,
) -> GateFigure:
    def accuracy(outputs: list[Feed]) -> float:
        right = [np.reshape(label, -1) for label in classes]
        found = [_first(one, scores, len(label)) == label for one, label in zip(outputs, right, strict=True)]
        return float(np.mean(found))

    lost = accuracy(expected) - accuracy(given)
    return GateFigure(_LOST, lost, limits.accuracy_drop, "share", lost <= limits.accuracy_drop)


def _noise(name: str, expected: list[Feed], given: list[Feed], limits: GateLimits) -> GateFigure:
    ratio = sqnr_db(np.stack([one[name] for one in expected]), np.stack([one[name] for one in given]))
    value = min(ratio, 200.0)  # no difference at all is infinite, which JSON does not know
    return GateFigure(
        f"signal-to-noise ratio of {name}", value, limits.sqnr_db, "dB", value >= limits.sqnr_db
    )


def _told(figure: GateFigure) -> str:
    limit = _show(figure.limit, figure.unit)
    if figure.name == _LOST and figure.value < 0:
        return f"accuracy gained {_show(-figure.value, figure.unit)} (limit: {limit} lost)"
    return f"{figure.name} {_show(figure.value, figure.unit)} (limit {limit})"


def _show(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:.1f} {unit}"
