"""At which precision a bundle's layers have their weights, and why: a table for ``edgepress inspect``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepress.cli.table import columns, printable

FACT = "precisions"
_NAMED = 4  # layers of one reason; the rest are counted


def precision_table(facts: Mapping[str, Any]) -> str:
    """The table of a method's facts; empty where they hold no precisions of layers."""
    found = facts.get(FACT)
    if not isinstance(found, Mapping) or not any(isinstance(layers, Mapping) for layers in found.values()):
        return ""
    rows = [["weights", "layers", "why", "which"]]
    for precision, layers in found.items():
        by_reason: dict[str, list[str]] = {}
        for layer, why in layers.items() if isinstance(layers, Mapping) else ():
            by_reason.setdefault(str(why), []).append(str(layer))
        rows += [
            [printable(precision), str(len(names)), printable(why) or "-", _listed(names)]
            for why, names in by_reason.items()
        ]
    return "precision\n" + columns(rows, right=(1,), indent="  ")


def _listed(names: list[str]) -> str:
    shown = [printable(name) for name in names[:_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
