"""Tables of layers, as wide as the terminal: ``profile`` and ``inspect`` share them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from edgepress.cli.table import columns, printable

if TYPE_CHECKING:
    from edgepress.bundle.layers import KernelLayer
    from edgepress.hardware.layers import Layer

_PAGE = 120  # columns, where no terminal tells
_LEAST_NAME = 16


def timed_table(layers: Sequence[Layer]) -> str:
    """Layers that were timed; with what they compute and their share of the machine's peak, where known."""
    known = any(layer.cost is not None for layer in layers)
    roofs = any(layer.roof is not None for layer in layers)
    bits = ["bits"] if _any_bits(layer.cost for layer in layers) else []
    rows = [
        ["layer", *(["kernel", "Mop", "KiB", *bits] if known else ["operator"]), "ms", "share"]
        + (["of peak", "bound"] if roofs else [])
    ]
    for layer in layers:
        row = [layer.name, *(_work(layer.cost, layer.op) if known else [layer.op])]
        row += [_bits(layer.cost)] if bits else []
        row += [f"{layer.ms:.3f}", f"{layer.share:.1%}"]
        row += [_percent(layer.of_peak), layer.roof.bound if layer.roof else ""] if roofs else []
        rows.append(row)
    total = sum(layer.ms for layer in layers)
    operations = sum(layer.cost.operations for layer in layers if layer.cost is not None)
    least = sum(layer.roof.ms for layer in layers if layer.roof is not None)
    rows.append(
        ["sum of layers", *(["", f"{operations / 1e6:.1f}", "", *([""] if bits else [])] if known else [""])]
        + [f"{total:.3f}", ""]
        + ([_percent(least / total if total else None), ""] if roofs else [])
    )
    return _fitted(rows, left=(0, 1, *([len(rows[0]) - 1] if roofs else [])))


def counted_table(layers: Sequence[KernelLayer]) -> str:
    """Layers that nobody timed: what they compute, and their share of an emulator's count where there is one."""
    whole = sum(layer.instructions or 0 for layer in layers)
    macs = any(layer.macs and layer.instructions for layer in layers)
    bits = ["bits"] if _any_bits(layers) else []
    rows = [["layer", "kernel", "Mop", "KiB", *bits, "op/byte", *(["instr.", "per MAC"] if whole else [])]]
    for layer in layers:
        row = [
            layer.name,
            *_work(layer, layer.op),
            *([_bits(layer)] if bits else []),
            f"{layer.intensity:.1f}",
        ]
        if whole:
            count = layer.instructions or 0
            row += [f"{count / whole:.1%}", f"{count / layer.macs:.3f}" if macs and layer.macs else ""]
        rows.append(row)
    return _fitted(rows, left=(0, 1))


def tuned_line(costs: Iterable[KernelLayer | None]) -> list[str]:
    """What a star in the table stands for, where there is one."""
    starred = any(cost is not None and cost.tuned for cost in costs)
    return ["  * a tile that edgepress tune measured"] if starred else []


def bits_lines(costs: Iterable[KernelLayer | None]) -> list[str]:
    """What the column of bits stands for, where there is one, and why ternary layers have more than two."""
    given = [cost for cost in costs if cost is not None]
    if not _any_bits(given):
        return []
    left = [
        f"  {printable(cost.name)} keeps weights of 8 bits: {printable(cost.left)}"
        for cost in given
        if cost.left
    ]
    return ["  bits: of each weight as it is stored", *left]


def _any_bits(costs: Iterable[KernelLayer | None]) -> bool:
    return any(cost is not None and cost.weight_bits is not None for cost in costs)


def _bits(cost: KernelLayer | None) -> str:
    """Bits for each weight of a layer that multiplies by weights; empty for others."""
    if cost is None or not cost.macs or not cost.weight_bytes:
        return ""
    if cost.weight_bits is None:
        return "8" if cost.integer else "32"
    return f"{cost.weight_bits:.2f}".rstrip("0").rstrip(".")


def _work(cost: KernelLayer | None, op: str) -> list[str]:
    """Kernel, millions of operations, and KiB moved."""
    if cost is None:
        return [printable(op), "", ""]
    tile = f" {cost.tile}" if cost.tile else ""
    kernel = f"{cost.kernel}{tile}{'*' if cost.tuned else ''}" if cost.kernel else op
    return [printable(kernel), f"{cost.operations / 1e6:.2f}", f"{cost.bytes / 1024:.0f}"]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _fitted(rows: list[list[str]], left: Sequence[int]) -> str:
    """The rows as wide as the terminal, or as a page: the names give way, at their beginning."""
    width = shutil.get_terminal_size((_PAGE, 24)).columns if sys.stdout.isatty() else _PAGE
    others = sum(2 + max(len(row[i]) for row in rows) for i in range(1, len(rows[0])))
    room = max(_LEAST_NAME, width - others - 2)
    shown = [[_short(printable(row[0]), room), *row[1:]] for row in rows]
    return columns(shown, right=[i for i in range(len(rows[0])) if i not in left], indent="  ")


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else "…" + name[len(name) - room + 1 :]
