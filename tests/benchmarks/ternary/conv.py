"""Ternary 3×3 convolutions beside the same ones in int8 and fp32, and a whole network: one run, in turns, one thread.

    python -m tests.benchmarks.ternary.conv --out conv.json [--board host] [--rounds 15] [--no-network]

A case is a chain of eight convolutions with their Relus, as static QDQ graphs; each form takes fp32 and gives
fp32. Outputs are checked first: those of one graph are the same in both engines but for ties. Ratios are
medians over rounds with 95 % intervals. The network is that of the CIFAR-10 benchmark with random weights;
its int8 build is what ONNX Runtime's quantiser makes of the float network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.benchmarks.peers.statistic import median, ratio
from tests.benchmarks.ternary import conv_graphs as graphs
from tests.benchmarks.ternary.dense import in_turns, tell_forms
from tests.benchmarks.ternary.dense_engines import Loaded, native, ort

CASES = (
    (64, 56),
    (64, 28),
    (128, 28),
    (128, 14),
    (256, 14),
    (256, 8),
    (256, 5),
    (256, 4),
    (256, 3),
    (512, 7),
    (512, 4),
)
ASKED = {"int8 in ONNX Runtime": 1.0, "own int8": 0.97}
_DEPTH = 8  # so that making codes and numbers at the ends weighs little
_TIES = 0.002  # of outputs, one step apart


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--board", default="host")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-network", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"board": arguments.board, "layers_of_a_case": _DEPTH, "cases": {}}
    for channels, size in CASES:
        name = f"{channels} channels at {size}x{size}"
        rows = _compared(forms_of(channels, size, arguments.board), ASKED, arguments.rounds)
        found["cases"][name] = rows
        _tell(name, rows, _DEPTH * size * size * channels * channels * 9)
    if not arguments.no_network:
        found["network"] = network(arguments.board, arguments.rounds)
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def forms_of(channels: int, size: int, board: str) -> dict[str, Loaded]:
    """Every form of one chain, checked.

    Raises:
        SystemExit: the engines do not agree on a graph.
    """
    x = np.random.default_rng(1).standard_normal((1, channels, size, size)).astype(np.float32)
    ternary, eight = (graphs.chain(channels, size, _DEPTH, largest) for largest in (1, 127))
    plain = graphs.floating(channels, size, _DEPTH)
    made = {
        "ternary": native(ternary, x, board),
        "own int8": native(eight, x, board),
        "own fp32": native(plain, x, board),
        "int8 in ONNX Runtime": ort(eight, x),
        "same graph in ONNX Runtime": ort(ternary, x),
        "fp32 in ONNX Runtime": ort(plain, x),
    }
    for form in made.values():
        form.run()
    for first, second in (("ternary", "same graph in ONNX Runtime"), ("own int8", "int8 in ONNX Runtime")):
        steps = np.abs(np.rint((made[first].read() - made[second].read()) / graphs.STEP))
        if steps.max() > 1 or (steps > 0).mean() > _TIES:
            raise SystemExit(f"{first} differs from {second} by {steps.max():.0f} steps")
    return made


def network(board: str, rounds: int) -> dict[str, Any]:
    """Size and time of the whole network: ternary, int8 and fp32."""
    forms = graphs.networks()
    x = np.random.default_rng(2).standard_normal((1, 3, 32, 32)).astype(np.float32)
    loaded = {name: native(model, x, board) for name, model in forms.items()}
    loaded["int8 in ONNX Runtime"] = ort(forms["own int8"], x)
    loaded["same graph in ONNX Runtime"] = ort(forms["ternary"], x)
    for form in loaded.values():
        form.run()
    rows = _compared(loaded, {}, rounds)
    for name, model in forms.items():
        rows[name]["weight_bytes"] = loaded[name].weight_bytes
        rows[name]["bundle_bytes"] = bundle_bytes(model, board)
    _tell("network", rows, 0)
    for name in forms:
        print(
            f"  {name:26} bundle {rows[name]['bundle_bytes']:,} bytes, weights {rows[name]['weight_bytes']:,}"
        )
    return rows


def bundle_bytes(model: onnx.ModelProto, board: str) -> int:
    """The size of a bundle of one graph."""
    with tempfile.TemporaryDirectory() as folder:
        graph, bundle = Path(folder) / "network.onnx", Path(folder) / "network.edge"
        onnx.save(model, graph)
        words = ["build", str(graph), "--target", board, "--method", "none", "-o", str(bundle)]
        subprocess.run([sys.executable, "-m", "edgepress", *words], check=True, stdout=subprocess.DEVNULL)
        return bundle.stat().st_size


def _compared(forms: dict[str, Loaded], asked: dict[str, float], rounds: int) -> dict[str, Any]:
    seconds = in_turns({name: form.run for name, form in forms.items()}, rounds)
    return {name: _row(name, times, seconds["ternary"], asked) for name, times in seconds.items()}


def _row(
    name: str, times: Sequence[Sequence[float]], base: Sequence[Sequence[float]], asked: dict[str, float]
) -> dict[str, Any]:
    row: dict[str, Any] = {"microseconds": asdict(median([[1e6 * t for t in each] for each in times]))}
    if name != "ternary":
        row["times_faster"] = asdict(ratio(times, base))
    if name in asked:
        row |= {"asked": asked[name], "reached": row["times_faster"]["value"] >= asked[name]}
    return row


def _tell(name: str, rows: dict[str, Any], macs: int) -> None:
    ours = rows["ternary"]["microseconds"]["value"]
    print(f"{name}: {ours:.1f} µs" + (f", {macs / ours / 1e3:.0f} GMAC/s" if macs else ""))
    tell_forms(rows)


if __name__ == "__main__":
    main()
