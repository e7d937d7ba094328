"""The trained networks of CIFAR-10 as bundles: float, int8 and ternary; sizes, accuracies and latencies.

    python -m tests.benchmarks.ternary.bundles --data DIR --work DIR --out bundles.json

The networks are those that ``python -m tests.benchmarks.ternary`` trained with the same --work; int8 is made
from the float one. Bundles are built for this machine with the engine aot, and take turns when they are timed.
It needs the extras build and train, and a few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgepress.build import build
from edgepress.hardware.measure import Protocol, take_turns
from edgepress.inputs import ImageInput
from edgepress.metrics.accuracy import wilson_interval
from edgepress.outputs import ScoresOutput
from edgepress.recipe import GateLimits, InputRecipe, Recipe
from edgepress.runtimes.session import load
from edgepress.training.examples import Examples
from tests.benchmarks.ternary import kept
from tests.benchmarks.ternary.cifar import DEVIATION, MEAN, normalised, read_cifar
from tests.benchmarks.ternary.kept import keep
from tests.benchmarks.ternary.runs import read_runs
from tests.benchmarks.ternary.train import Trainer

_INPUT, _OUTPUT = "x", "output"
_SAMPLES = 256
_BUILDS: dict[str, tuple[str, str, dict[str, Any]]] = {  # the model, the method and its options
    "float": ("float_network", "none", {}),
    "int8": ("float_network", "int8", {}),
    "ternary": ("ternary_network", "ternary", {"steps": 0}),
}


def keep_networks(
    runs_file: Path, variant: str, seed: int, work: Path, train: Examples, folder: Path
) -> None:
    """Put the float network of a work folder and the ternary one where builds find them; missing ones are trained."""
    runs = read_runs(runs_file)
    trainer = Trainer(runs, train, work)
    for name, kind in (("float", "float"), ("ternary", variant)):
        run = next(run for run in runs if (run.variant, run.seed) == (kind, seed))
        keep(trainer.trained(run)[0], run, folder / f"{name}.safetensors")


def write_pictures(archive: Path, folder: Path, count: int) -> None:
    """The first pictures of an archive as files; each name begins with the class."""
    folder.mkdir()
    with np.load(archive) as found:
        data, offsets, labels = found["jpeg"], found["offsets"], found["labels"]
    for number in range(count):
        content = data[offsets[number] : offsets[number + 1]].tobytes()
        (folder / f"{labels[number]:03}_{number}.jpg").write_bytes(content)


def make_bundle(kind: str, pictures: Path, folder: Path) -> Path:
    """Build one bundle for this machine; ternary layers are as they were trained, all others become int8."""
    model, method, options = _BUILDS[kind]
    means, deviations = (tuple(255 * each for each in figures) for figures in (MEAN, DEVIATION))
    recipe = Recipe(
        f"{kept.__name__}:{model}", method=method, options=options, name=f"cifar10-{kind}", data=str(pictures),
        samples=_SAMPLES, output=str(folder / f"{kind}.edge"), engines=("aot",),
        gate=GateLimits(accuracy_drop=0.03), outputs={_OUTPUT: ScoresOutput()},
        inputs={_INPUT: InputRecipe((1, 3, 32, 32), prepare=ImageInput(mean=means, std=deviations))},
    )  # fmt: skip
    return build(recipe).path


def right_choices(path: Path, test: Examples) -> int:
    """How many test pictures a bundle puts into their class."""
    right = 0
    with load(path, trust=True) as session:
        for x, y in test.in_order(100):
            pictures = normalised(x).numpy()
            for picture, label in zip(pictures, y.tolist(), strict=True):
                scores = session.run_tensors({_INPUT: np.ascontiguousarray(picture[None])})[_OUTPUT]
                right += int(scores.argmax()) == label
    return right


def latencies(paths: Mapping[str, Path], rounds: int) -> dict[str, dict[str, Any]]:
    """Of each bundle on one thread: the median and the least, and the ratio to int8 within rounds."""
    sessions = {kind: load(path, trust=True, threads=1) for kind, path in paths.items()}
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    calls = {kind: lambda one=one: one.run_tensors({_INPUT: x}) for kind, one in sessions.items()}
    timings = take_turns(calls, Protocol(runs=5 * rounds, warmup=20))
    for session in sessions.values():
        session.close()
    found = {}
    for kind, timing in timings.items():
        ratio = timing.ratio_to(timings["int8"], "over int8")
        found[kind] = {
            "median_ms": float(np.median(timing.runs)), "least_ms": min(timing.runs),
            "over_int8": ratio.value, "over_int8_low": ratio.low, "over_int8_high": ratio.high,
        }  # fmt: skip
    return found


def main() -> int:
    """Build three bundles, and print what each weighs, gets right and takes."""
    arguments = _arguments()
    torch.set_num_threads(1)
    train = read_cifar(arguments.data / "cifar10-train.npz", augmented=True)
    test = read_cifar(arguments.data / "cifar10-test.npz", augmented=False)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        write_pictures(arguments.data / "cifar10-train.npz", here / "pictures", 2 * _SAMPLES)
        folder = arguments.keep or here
        folder.mkdir(parents=True, exist_ok=True)
        keep_networks(arguments.runs, arguments.variant, arguments.seed, arguments.work, train, folder)
        os.environ[kept.FOLDER] = str(folder)
        paths = {kind: make_bundle(kind, here / "pictures", folder) for kind in _BUILDS}
        times = latencies(paths, arguments.rounds)
        rows: dict[str, dict[str, Any]] = {}
        for kind, path in paths.items():
            right = right_choices(path, test)
            low, high = wilson_interval(right, test.count)
            rows[kind] = {
                "bundle_bytes": path.stat().st_size, "accuracy": right / test.count, "accuracy_low": low,
                "accuracy_high": high, **times[kind],
            }  # fmt: skip
            print(
                f"{kind:8}{path.stat().st_size / 1e6:8.3f} MB  {right / test.count:.2%}"
                f"  {times[kind]['median_ms']:.3f} ms  {times[kind]['over_int8']:.2f} of int8's",
                flush=True,
            )
    if arguments.out is not None:
        facts = {"variant": arguments.variant, "seed": arguments.seed, "bundles": rows}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.ternary.bundles", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR")
    add("--work", type=Path, required=True, metavar="DIR", help="what training kept")
    add(
        "--runs",
        type=Path,
        default=Path(__file__).with_name("cifar.toml"),
        help="the file of runs (cifar.toml)",
    )
    add("--variant", choices=("median", "mean"), default="median")
    add("--seed", type=int, default=0)
    add("--rounds", type=int, default=100, help="of five runs of each bundle")
    add("--keep", type=Path, metavar="DIR", help="leaves the bundles and the networks there")
    add("--out", type=Path, metavar="FILE", help="figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
