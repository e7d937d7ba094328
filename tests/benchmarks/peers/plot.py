"""The figures as bars: one panel a case, each engine's time over the best peer's."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Write the plot; the file's ending chooses the form.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [case for case in cases if case["best_peer"]]
    if not shown:
        return
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.6 * columns, 2.6 * rows), squeeze=False)
    for panel in axes.flat[len(shown) :]:
        panel.set_visible(False)
    for panel, case in zip(axes.flat, shown, strict=False):
        ran = {name: one for name, one in case["engines"].items() if "ratio_to_best_peer" in one}
        order = sorted(ran, key=lambda name: float(ran[name]["ratio_to_best_peer"]["value"]), reverse=True)
        ratios = [ran[name]["ratio_to_best_peer"] for name in order]
        values = [one["value"] for one in ratios]
        spread = [
            [one["value"] - one["low"] for one in ratios],
            [one["high"] - one["value"] for one in ratios],
        ]
        panel.barh(
            order, values, xerr=spread, color=["#c44e52" if name == "aot" else "#8c8c8c" for name in order]
        )
        panel.axvline(1.0, color="black", linewidth=0.8)
        for place, name in enumerate(order):
            panel.text(0.02, place, f"{ran[name]['median_ms']['value']:.2f} ms", va="center", fontsize=7)
        panel.set_title(f"{case['network']} {case['precision']}, {case['threads']} thread(s)", fontsize=9)
        panel.tick_params(labelsize=8)
    figure.supxlabel("time over the best peer's (95 % interval)", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
