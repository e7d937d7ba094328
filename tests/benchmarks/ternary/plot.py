"""The figures of trained networks as points: one column a group of runs, one colour a variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = {"float": "#4c72b0", "mean": "#dd8452", "median": "#c44e52"}


def draw_runs(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Test accuracy of each run of CIFAR-10; the file's ending chooses the form.

    Raises:
        ImportError: matplotlib is not installed.
    """
    columns: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        said = f"{row['group']}\nrate {row['rate']:g}\ndecay {row['decay']:g}"
        if row["teacher"]:
            said += "\ntaught"
        columns.setdefault(said, []).append((row["variant"], 100 * row["accuracy"]))
    draw_points(columns, "test accuracy, %", path)


def draw_points(columns: Mapping[str, Sequence[tuple[str, float]]], axis: str, path: Path) -> None:
    """Columns of points, each of a variant, beside one another; ``axis`` names what is measured.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panel = pyplot.subplots(figsize=(1.2 + 1.1 * len(columns), 3.6))
    seen: set[str] = set()
    for place, points in enumerate(columns.values()):
        kinds = [kind for kind in COLOURS if any(kind == own for own, _ in points)]
        for at, kind in enumerate(kinds):
            values = [value for own, value in points if own == kind]
            x = place + 0.22 * (at - (len(kinds) - 1) / 2)
            label = None if kind in seen else kind
            seen.add(kind)
            panel.plot([x] * len(values), values, "o", color=COLOURS[kind], markersize=5, label=label)
            if len(values) > 1:
                middle = sum(values) / len(values)
                panel.plot([x - 0.09, x + 0.09], [middle, middle], color=COLOURS[kind], linewidth=1.5)
    panel.set_xticks(range(len(columns)), list(columns), fontsize=8)
    panel.set_ylabel(axis, fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(axis="y", linewidth=0.4)
    panel.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
