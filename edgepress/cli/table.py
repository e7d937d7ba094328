"""Text in columns, sizes for people, and JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import click


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = (), indent: str = "") -> str:
    """Rows of text with each column as wide as its widest cell.

    Args:
        rows: of the same length each.
        right: indices of the columns that are aligned to the right.
        indent: what every line begins with.
    """
    if not rows:
        return ""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            text.rjust(width) if index in right else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return (indent + "  ".join(cells)).rstrip()

    return "\n".join(line(row) for row in rows)


def size(count: float) -> str:
    """A number of bytes for people: ``4.7 MiB``."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def amount(count: float) -> str:
    """A count for people, in three digits: ``29.9 M``."""
    for unit in ("", " k", " M"):
        if count < 999.5:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g} G"


def shape(extents: Sequence[int]) -> str:
    """``1x3x224x224``, or ``scalar``."""
    return "x".join(map(str, extents)) or "scalar"


def echo_json(data: Any) -> None:
    """Print JSON that every reader takes: what is not finite becomes null."""
    click.echo(json.dumps(_finite(data), indent=2, ensure_ascii=False, allow_nan=False))


def printable(text: str) -> str:
    """Text from a file, without control characters that would act on the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return data
