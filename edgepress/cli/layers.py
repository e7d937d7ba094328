"""A bundle's layers as ``inspect`` shows them: which kernel computes what, at what share of time and peak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgepress.bundle import Bundle
from edgepress.bundle.layers import KernelLayer, layers_of
from edgepress.cli.layer_table import bits_lines, counted_table, timed_table, tuned_line
from edgepress.cli.table import columns, printable

_MEASURE_PEAK = "edgepress hwbench measures this machine's peak, which shows how far each layer is from it"
_NATIVE = "aot"


def kernel_lines(bundle: Bundle, part: str) -> list[str]:
    """The families of kernels of a part's compiled engine, and what each takes; none for older bundles."""
    layers = layers_of(bundle, bundle.manifest.parts[part].engines[_NATIVE]) if _has(bundle, part) else ()
    if not layers:
        return []
    from edgepress.hardware.layer_times import known_times

    known = known_times(bundle, part, _NATIVE)
    times = {layer.name: layer.ms for layer in known.layers} if known is not None else {}
    right = range(1, 6)
    return [
        columns(_families(layers, times), right=right, indent="  "),
        *_origins(layers, known.how if known else ""),
    ]


def layer_pages(bundle: Bundle) -> str:
    """Every part's layers as tables."""
    from edgepress.hardware.layer_times import LayerTimes

    pages = []
    for part, engine, layers, times in _each(bundle):
        target = bundle.manifest.parts[part].target
        head = f"part {printable(part)}, engine {engine}, built for {printable(target)}: {len(layers)} layers"
        assert isinstance(times, LayerTimes)
        if times.layers:
            table = timed_table(times.layers)
            notes = [] if any(layer.roof for layer in times.layers) else [_MEASURE_PEAK]
        else:
            table, notes = counted_table(layers), []
        pages.append(
            "\n".join(
                [head, table, *tuned_line(layers), *bits_lines(layers), *_origins(layers, times.how), *notes]
            )
        )
    return "\n\n".join(pages) or "no engine of this bundle tells of its layers; build it again to see them"


def layer_data(bundle: Bundle) -> dict[str, Any]:
    """Every part's layers as JSON-ready data."""
    parts: dict[str, Any] = {}
    for part, engine, layers, times in _each(bundle):
        timed = {layer.name: layer.to_json() for layer in times.layers}
        listed = [
            {**asdict(layer), "intensity": layer.intensity, **timed.get(layer.name, {})} for layer in layers
        ]
        parts.setdefault(part, {})[engine] = {"times": times.how, "layers": listed}
    return {"bundle": str(bundle.path), "identity": bundle.identity, "parts": parts}


def _each(bundle: Bundle) -> Iterator[tuple[str, str, tuple[KernelLayer, ...], Any]]:
    """Part, engine, layers and times of each compiled engine that tells of its layers."""
    from edgepress.cli.bar import bar
    from edgepress.hardware.layer_times import known_times, measured_times

    for part in bundle.manifest.parts:
        layers = layers_of(bundle, bundle.manifest.parts[part].engines[_NATIVE]) if _has(bundle, part) else ()
        if layers:
            known = known_times(bundle, part, _NATIVE)
            if known is None:
                with bar("timing layers"):
                    known = measured_times(bundle, part, _NATIVE)
            yield part, _NATIVE, layers, known


def _has(bundle: Bundle, part: str) -> bool:
    return _NATIVE in bundle.manifest.parts[part].engines


def _families(layers: Sequence[KernelLayer], times: Mapping[str, float]) -> list[list[str]]:
    """Rows of a table: each family of kernels, its layers, and its share of the work, of the count and of time."""
    shares: dict[str, dict[str, float]] = {
        "operations": {layer.name: float(layer.operations) for layer in layers},
        "instructions": {layer.name: float(layer.instructions or 0) for layer in layers},
        "time": dict(times),
    }
    shown = {title: values for title, values in shares.items() if sum(values.values())}
    rows = [["kernel", "layers", *shown]]
    for family in dict.fromkeys(layer.kernel for layer in layers):
        own = [layer.name for layer in layers if layer.kernel == family]
        row = [printable(family), str(len(own))]
        for values in shown.values():
            row.append(f"{sum(values.get(name, 0.0) for name in own) / sum(values.values()):.1%}")
        rows.append(row)
    return rows


def _origins(layers: Sequence[KernelLayer], how: str) -> list[str]:
    """Where the shares come from, in lines."""
    lines = []
    if any(layer.instructions for layer in layers):
        lines.append("  instructions: emulated, one inference, counted while building")
    if how:
        lines.append(f"  time: {how}")
    return lines
