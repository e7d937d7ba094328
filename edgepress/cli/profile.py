"""``edgepress profile``: what a bundle costs on this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgepress.cli.bar import bar
from edgepress.cli.device import only_local
from edgepress.cli.layer_table import timed_table, tuned_line
from edgepress.cli.number import a_number
from edgepress.cli.table import columns, echo_json, size
from edgepress.measurement import Measurement


@click.command(short_help="Measure load, first run, steady state, memory and layers.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--engines", metavar="A,B,…", help="Side by side: aot, ort, portable, or all that can run here."
)
@click.option(
    "--runs",
    type=click.IntRange(min=50),
    default=50,
    show_default=True,
    help="How many runs are counted, at least.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86400, min_open=True),
    callback=a_number,
    help="Measure for that long instead.",
)
@click.option(
    "--warmup", type=click.IntRange(min=0), default=5, show_default=True, help="How many runs come before."
)
@click.option(
    "--threads", type=click.IntRange(1, 256), help="For every engine alike; every usable core by default."
)
@click.option("--layers", is_flag=True, help="Show the time of each layer.")
@click.option("--part", help="Which part; needed only where there are several.")
@click.option("--trust", is_flag=True, help="Run machine code that was not built on this machine.")
@click.option(
    "--on", "device", default="local", show_default=True, metavar="DEVICE", help="Where to measure."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    bundle: Path, engines: str | None, runs: int, seconds: float | None, warmup: int, threads: int | None,
    layers: bool, part: str | None, trust: bool, device: str, as_json: bool,
) -> None:  # fmt: skip
    """Measure BUNDLE: loading, the first inference and the steady state apart, memory, and layers.

    Loading, the first inference and memory come from fresh processes; the steady state of several engines
    is measured in turns. Every figure says how it was come by.
    """
    only_local(device)
    from edgepress.hardware.measure import Protocol
    from edgepress.hardware.profile import profile

    names = [name.strip() for name in engines.split(",")] if engines is not None else []
    with bar("profiling") as progress:
        found = profile(
            bundle, part=part, engines=names, protocol=Protocol(runs, seconds, warmup), threads=threads,
            layers=layers, trust=trust, progress=progress,
        )  # fmt: skip
    if as_json:
        echo_json(as_data(found))
    else:
        click.echo(as_text(found))


def as_data(found: Any) -> dict[str, Any]:
    """A profile as JSON-ready data; every figure carries its origin."""
    engines = [
        {
            "engine": one.engine,
            "figures": [figure.to_json() for figure in one.figures],
            **({"ratio": one.ratio.to_json()} if one.ratio else {}),
            **({"layers": [layer.to_json() for layer in one.layers]} if one.layers else {}),
        }
        for one in found.engines
    ]
    return {
        "bundle": found.bundle,
        "part": found.part,
        "target": found.target,
        "is_target": not found.not_target,
        "machine": {**asdict(found.machine), "busy": found.machine.busy, "load_after": found.load_after},
        "threads": found.threads,
        "figures": [figure.to_json() for figure in found.figures],
        "engines": engines,
        **{key: getattr(found, key) for key in ("not_target", "note", "left_out") if getattr(found, key)},
    }


def as_text(found: Any) -> str:
    """A profile on a page of text."""
    lines = [f"{found.bundle}  part {found.part}, built for {found.target}"]
    lines.append(f"measured on {found.machine}, {found.threads} thread(s)")
    if found.machine.busy:
        lines.append(
            "the machine is busy with other work: times are longer than on a quiet one, ratios less certain"
        )
    if found.not_target:
        lines.append(f"these times are this machine's, not the board's: {found.not_target}")
    if found.note and found.note != found.not_target:
        lines.append(f"note: {found.note}")
    lines += [f"{engine} left out: {reason}" for engine, reason in found.left_out.items()]
    lines += ["", columns([_row(figure) for figure in found.figures], right=(1,))]
    lines += ["", columns(_side_by_side(found.engines), right=range(1, len(found.engines) + 1))]
    for one in found.engines:
        if one.ratio is not None:
            low, high = one.ratio.low, one.ratio.high
            lines.append(
                f"{one.engine} takes {one.ratio.value:.3f} times the time of {found.engines[0].engine} "
                f"(95 % interval {low:.3f} to {high:.3f}; measured in turns)"
            )
    counted = next(figure.how for figure in found.engines[0].figures if figure.name == "latency p50")
    lines.append(f"origin of the figures: measured; latency over {counted}")
    for one in found.engines:
        if one.layers:
            lines += ["", f"layers of {one.engine} (measured, median of runs)", timed_table(one.layers)]
            lines += tuned_line(layer.cost for layer in one.layers)
            if not any(layer.roof for layer in one.layers):
                lines.append(
                    "edgepress hwbench measures this machine's peak, which shows how far each layer is from it"
                )
    return "\n".join(lines)


def _side_by_side(engines: Any) -> list[list[str]]:
    rows = [["", *(one.engine for one in engines)]]
    for index, figure in enumerate(engines[0].figures):
        rows.append([figure.name, *(_value(one.figures[index]) for one in engines)])
    return rows


def _row(figure: Measurement) -> list[str]:
    return [figure.name, _value(figure), f"({figure.origin}; {figure.how})"]


def _value(figure: Measurement) -> str:
    if figure.value is None:
        return "not measured"
    if figure.unit == "bytes":
        return size(figure.value)
    if figure.unit == "instructions":
        return f"{figure.value:,.0f}"
    return f"{figure.value:.3f} {figure.unit}"
