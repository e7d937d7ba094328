"""A ternary dense layer beside the same one in fp32, int8 and fewer bits: one run, in turns, one thread.

    python -m tests.benchmarks.ternary.dense --out dense.json [--board host] [--rounds 15]

Every form takes fp32 and gives fp32: making codes of the rows is part of what is timed. Outputs are checked
first. Ratios are medians over rounds with 95 % intervals. Weights larger than any cache are read from a
mapped file by a chain of layers; the bandwidth is measured right before and after.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.hardware.hwbench import measure_peaks
from tests.benchmarks.peers.statistic import median, ratio
from tests.benchmarks.ternary import dense_graphs as graphs
from tests.benchmarks.ternary.dense_engines import Loaded, native, ort

SIZES = ((1, 2048), (1, 4096), (16, 2048), (64, 2048))
ASKED = {"fp32": 10.0, "dynamic int8": 2.5, "4 bits": 1.9, "2 bits": 1.4, "own int8": 1.3}
ASKED_OF_MANY = {"dynamic int8": 1.2}  # rows: 64
STREAMED = 0.6  # of the bandwidth
_BLOCK_SECONDS = 0.004  # of one form in one round
_LAYERS, _WIDTH = 32, 4096  # of the chain: 128 MiB at two bits
_WORST = 0.03  # of the largest output: rows that are coded in other ways differ by so much


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--board", default="host")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-stream", action="store_true")
    arguments = parser.parse_args()
    cases = {f"M={rows} K=N={width}": forms_of(rows, width, arguments.board) for rows, width in SIZES}
    peak = measure_peaks((1,), board=arguments.board).peaks[0]
    found: dict[str, Any] = {"peak": asdict(peak), "cases": {}}
    for (rows, width), (name, forms) in zip(SIZES, cases.items(), strict=True):
        asked = {1: ASKED, 64: ASKED_OF_MANY}.get(rows, {})
        found["cases"][name] = _case(forms, asked, arguments.rounds)
        _tell(name, found["cases"][name], rows * width * width, width * width // 4, peak)
    if not arguments.no_stream:
        found["streamed"] = streamed(arguments.board, arguments.rounds)
        _tell_streamed(found["streamed"])
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def forms_of(rows: int, width: int, board: str) -> dict[str, Loaded]:
    """Every form of one layer, each checked against the ternary one.

    Raises:
        SystemExit: outputs do not agree.
    """
    x = np.random.default_rng(1).standard_normal((rows, width)).astype(np.float32)
    size = (rows, width, width)
    made = {
        "ternary": native(graphs.ternary(*size), x, board),
        "own int8": native(graphs.static_int8(*size), x, board),
        "fp32": ort(graphs.float32(*size), x),
        "dynamic int8": ort(graphs.dynamic_int8(*size), x),
        "4 bits": ort(graphs.few_bits(4)(*size), x),
        "2 bits": ort(graphs.few_bits(2)(*size), x),
        "same graph in ONNX Runtime": ort(graphs.ternary(*size), x),
    }
    made["ternary"].run()
    expected = made["ternary"].read()
    for name, form in made.items():
        form.run()
        worst = float(np.abs(form.read() - expected).max() / np.abs(expected).max())
        if not worst <= _WORST:
            raise SystemExit(f"{name} differs from the ternary layer by {worst:.3f} of the largest output")
    return made


def _case(forms: dict[str, Loaded], asked: dict[str, float], rounds: int) -> dict[str, Any]:
    seconds = in_turns({name: form.run for name, form in forms.items()}, rounds)
    rows: dict[str, Any] = {}
    for name, times in seconds.items():
        row: dict[str, Any] = {
            "microseconds": asdict(median((np.array(times) * 1e6).tolist())),
            "least": min(map(min, times)) * 1e6,
        }
        if name != "ternary":
            row["times_faster"] = asdict(ratio(times, seconds["ternary"]))
        if name in asked:
            row["asked"], row["reached"] = asked[name], row["times_faster"]["value"] >= asked[name]
        rows[name] = row
    return rows


def in_turns(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[list[float]]]:
    """Seconds of one call, by round: the median of a block of calls, the forms in turns, each warmed up first."""
    counts = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        counts[name] = max(3, int(_BLOCK_SECONDS / (time.perf_counter() - start)))
    found: dict[str, list[list[float]]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            call, times = calls[name], []
            call()
            for _ in range(counts[name]):
                start = time.perf_counter()
                call()
                times.append(time.perf_counter() - start)
            found[name].append([float(np.median(times))])
    return found


def streamed(board: str, rounds: int) -> dict[str, Any]:
    """A chain of layers whose weights no cache holds, at two bits and at 1.6, and what memory gives at most."""
    x = np.random.default_rng(1).standard_normal((1, _WIDTH)).astype(np.float32)
    model = graphs.ternary(1, _WIDTH, _WIDTH, _LAYERS)
    chains = {"2 bits": native(model, x, board, 1 << 40), "1.6 bits": native(model, x, board, 1)}
    before = measure_peaks((1,), board=board).peaks[0].bandwidth
    seconds = in_turns({name: chain.run for name, chain in chains.items()}, rounds)
    bandwidth = max(before, measure_peaks((1,), board=board).peaks[0].bandwidth)
    found: dict[str, Any] = {"bandwidth": bandwidth, "asked": STREAMED, "layers": _LAYERS, "width": _WIDTH}
    for name, chain in chains.items():
        share = chain.weight_bytes / float(np.median(seconds[name])) / bandwidth
        found[name] = {
            "milliseconds": asdict(median((np.array(seconds[name]) * 1e3).tolist())),
            "weight_bytes": chain.weight_bytes, "share_of_bandwidth": share, "reached": share >= STREAMED,
        }  # fmt: skip
    found["two_bits_over_1.6"] = asdict(ratio(seconds["2 bits"], seconds["1.6 bits"]))
    return found


def _tell(name: str, rows: dict[str, Any], macs: int, size: int, peak: Any) -> None:
    ours = rows["ternary"]["microseconds"]["value"] * 1e-6
    roof = max(macs / (peak.int8 / 2), size / peak.reads(size))
    print(
        f"{name}: {ours * 1e6:.1f} µs, {macs / ours / 1e9:.0f} GMAC/s of {peak.int8 / 2e9:.0f}, "
        f"{size / ours / 1e9:.0f} GB/s of {peak.reads(size) / 1e9:.0f}; {roof / ours:.0%} of the limit"
    )
    tell_forms(rows)


def tell_forms(rows: dict[str, Any]) -> None:
    """Print how much longer each other form takes than the ternary one."""
    for form, row in rows.items():
        if "times_faster" not in row:
            continue
        each, asked = row["times_faster"], f", asked {row['asked']}" if "asked" in row else ""
        print(
            f"  {form:26} {row['microseconds']['value']:9.1f} µs   {each['value']:6.2f} times "
            f"({each['low']:.2f} to {each['high']:.2f}{asked})"
        )


def _tell_streamed(found: dict[str, Any]) -> None:
    print(f"weights from memory, which gives {found['bandwidth'] / 1e9:.1f} GB/s:")
    for name in ("2 bits", "1.6 bits"):
        row = found[name]
        rate = row["share_of_bandwidth"] * found["bandwidth"] / 1e9
        print(
            f"  {name:26} {row['milliseconds']['value']:9.2f} ms   {row['weight_bytes'] >> 20} MiB, {rate:.1f} GB/s, "
            f"{row['share_of_bandwidth']:.0%} of the bandwidth (asked {found['asked']:.0%})"
        )
    each = found["two_bits_over_1.6"]
    print(f"  1.6 bits are {each['value']:.2f} times as fast as 2 ({each['low']:.2f} to {each['high']:.2f})")


if __name__ == "__main__":
    main()
