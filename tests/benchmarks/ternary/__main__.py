"""CIFAR-10 in float and with ternary weights: every run of a file, trained, tested and drawn.

    python -m tests.benchmarks.ternary tests/benchmarks/ternary/sweep.toml --data DIR --out results.json

DIR holds cifar10-train.npz and cifar10-test.npz. cifar.toml beside this file is the comparison at full width,
sweep.toml the small version with more seeds, learning rates, weight decays and recipes. A run that was stopped
goes on where it was. It needs the extra train, for the plot the extra bench, and minutes to hours.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from edgepress.training import History
from edgepress.training.examples import Examples
from tests.benchmarks.ternary.cifar import Network, accuracy, read_cifar
from tests.benchmarks.ternary.plot import draw_runs
from tests.benchmarks.ternary.runs import Run, read_runs
from tests.benchmarks.ternary.train import Trainer


def main() -> int:
    """Train what the command line asks for, and print each test accuracy."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    runs: list[Run] = arguments.runs
    train = read_cifar(arguments.data / "cifar10-train.npz", augmented=True)
    test = read_cifar(arguments.data / "cifar10-test.npz", augmented=False)
    trainer = Trainer(runs, train, arguments.work)
    chosen = [run for run in runs if arguments.group is None or run.group in arguments.group]
    rows = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for run, (network, history) in zip(chosen, pool.map(trainer.trained, chosen), strict=True):
            rows.append(_row(run, network, history, test))
            print(f"{run.name}: {rows[-1]['accuracy']:.2%} of {test.count} test pictures", flush=True)
            if arguments.out is not None:
                facts = {"train": train.digest, "test": test.digest, "torch": torch.__version__, "runs": rows}
                arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    if arguments.plot is not None:
        draw_runs(rows, arguments.plot)
    return 0


def _row(run: Run, network: Network, history: History, test: Examples) -> dict[str, Any]:
    return asdict(run) | {
        "accuracy": accuracy(network, test), "parameters": sum(each.numel() for each in network.parameters()),
        "losses": [round(record.loss, 4) for record in history.records],
        "seconds": round(history.records[-1].seconds, 1),
    }  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.ternary", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("file", type=Path, metavar="RUNS.toml")
    add("--data", type=Path, required=True, metavar="DIR")
    add("--group", action="append", metavar="NAME", help="only this group of runs, and those that it needs")
    add("--jobs", type=int, default=2, help="runs at a time (2)")
    add("--threads", type=int, default=1, help="of each run (1)")
    add("--work", type=Path, metavar="DIR", help="keeps checkpoints")
    add("--out", type=Path, metavar="FILE", help="figures as JSON, written after each run")
    add("--plot", type=Path, metavar="FILE", help="a picture, by matplotlib")
    found = parser.parse_args()
    try:
        found.runs = read_runs(found.file)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return found


if __name__ == "__main__":
    sys.exit(main())
