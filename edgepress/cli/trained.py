"""How a bundle's network was trained, and which layers were left as they were: for ``edgepress inspect``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepress.cli.table import columns, printable

FACTS = ("training", "left")
_POINTS = 8  # of the history
_WORDS = {
    "start": "start", "task": "task", "data": "data", "float_steps": "float steps", "steps": "steps",
    "score_name": "score is", "score": "score", "best_step": "best at step", "float_score": "score in float",
    "seed": "seed", "device": "device", "data_digest": "digest of data",
}  # fmt: skip


def trained_pages(facts: Mapping[str, Any]) -> list[str]:
    """The sections ``training`` and ``layers left``, where a method's facts hold them."""
    pages = []
    training, left = facts.get("training"), facts.get("left")
    if isinstance(training, Mapping) and training:
        rows = [[words, _value(training[name])] for name, words in _WORDS.items() if name in training]
        page = f"training\n{columns(rows, indent='  ')}"
        curve = _curve(training.get("history"))
        pages.append(f"{page}\n{columns(curve, right=(0, 1, 2), indent='  ')}" if curve else page)
    if isinstance(left, list) and left:
        rows = [
            [_value(each.get("layer")), _value(each.get("why"))] for each in left if isinstance(each, Mapping)
        ]
        pages.append(f"layers left\n{columns(rows, indent='  ')}")
    return pages


def _curve(history: object) -> list[list[str]]:
    points = (
        [each for each in history if isinstance(each, list) and len(each) == 3]
        if isinstance(history, list)
        else []
    )
    if not points:
        return []
    every = -(-len(points) // _POINTS)
    shown = [each for number, each in enumerate(points) if (len(points) - 1 - number) % every == 0]
    return [["step", "loss", "score"], *[[_value(item) for item in each] for each in shown]]


def _value(value: object) -> str:
    return printable(f"{value:.6g}" if isinstance(value, float) else str(value))
