"""The figures as bars: one panel a case, each engine's time over the best peer's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OURS, _PEER, _LESS = "#c44e52", "#8c8c8c", "#d8d8d8"


def draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Write the plot, a row for each network; the file's ending chooses the form.

    Raises:
        ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {_place(case): case for case in cases if case["best_peer"]}
    if not shown:
        return
    networks = list(dict.fromkeys(network for network, _ in shown))
    kinds = sorted({kind for _, kind in shown})
    figure, axes = pyplot.subplots(
        len(networks), len(kinds), figsize=(3.9 * len(kinds), 2.3 * len(networks) + 0.5), squeeze=False
    )
    for row, network in enumerate(networks):
        for column, kind in enumerate(kinds):
            panel = axes[row][column]
            if (network, kind) in shown:
                _panel(panel, shown[network, kind])
            else:
                panel.set_visible(False)
    figure.supxlabel(
        "time over the best peer's, with 95 % intervals (pale: less accurate than ONNX Runtime in this precision)",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _place(case: Mapping[str, Any]) -> tuple[str, tuple[str, int]]:
    return case["network"], (case["precision"], case["threads"])


def _panel(panel: Any, case: Mapping[str, Any]) -> None:
    """Fastest on top; beside each bar its ratio and its time."""
    ran = {name: one for name, one in case["engines"].items() if "ratio_to_best_peer" in one}
    order = sorted(ran, key=lambda name: float(ran[name]["ratio_to_best_peer"]["value"]), reverse=True)
    ratios = [ran[name]["ratio_to_best_peer"] for name in order]
    values = [one["value"] for one in ratios]
    spread = [[abs(one["value"] - one[end]) for one in ratios] for end in ("low", "high")]
    colours = [
        _OURS if name == "aot" else _PEER if ran[name]["comparison"]["as_accurate"] else _LESS
        for name in order
    ]
    panel.barh(order, values, xerr=spread, color=colours, error_kw={"elinewidth": 1.2})
    panel.axvline(1.0, color="black", linewidth=0.8)
    for place, name in enumerate(order):
        said = f"{values[place]:.2f}  {ran[name]['median_ms']['value']:.2f} ms"
        panel.text(1.02, place, said, transform=panel.get_yaxis_transform(), va="center", fontsize=7.5)
    threads = "1 thread" if case["threads"] == 1 else f"{case['threads']} threads"
    panel.set_title(f"{case['network']}, {case['precision']}, {threads}", fontsize=9)
    panel.tick_params(labelsize=8)
