"""CIFAR-10 in float and with ternary weights: one network, one recipe, the same seeds.

    python -m tests.benchmarks.ternary --data DIR --variants float,mean,median --seeds 0,1,2 --out results.json

DIR holds cifar10-train.npz and cifar10-test.npz. Ternary networks begin as the float one of their seed, are
quantised step by step over the first half of their training, and lose their weight decay in the second. A run
that was stopped goes on where it was. It needs the extra train, and hours; --steps makes it short.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from edgepress.nn import Ternary, set_phase, ternarise
from edgepress.training import History, Plan, fit
from edgepress.training.examples import Examples
from tests.benchmarks.ternary.cifar import Network, accuracy, loss, read_cifar

VARIANTS = ("float", "mean", "median")


def main() -> int:
    """Train what the command line asks for, and print each test accuracy."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    train = read_cifar(arguments.data / "cifar10-train.npz", augmented=True)
    test = read_cifar(arguments.data / "cifar10-test.npz", augmented=False)
    rows = []
    for seed in arguments.seeds:
        plan = Plan(
            steps=arguments.steps, batch=128, rate=arguments.rate, warmup=0.1, shape="linear", decay=arguments.decay,
            optimiser="sgd", clip=0, precision="bfloat16", every=min(391, arguments.steps), seed=seed,
        )  # fmt: skip
        torch.manual_seed(seed)
        base = Network(arguments.width)
        base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        float_run = _trained(base, train, test, plan, _folder(arguments.work, f"float-{seed}"))
        for variant in arguments.variants:
            network, run = base, float_run
            if variant != "float":
                network = copy.deepcopy(base)
                ternarise(network, Ternary(measure=variant))
                quantised = replace(plan, rate=plan.rate / 2, decay_until=0.5)
                run = _trained(network, train, test, quantised, _folder(arguments.work, f"{variant}-{seed}"))
            right = accuracy(network, test)
            history = [asdict(record) for record in run.records]
            rows.append({"variant": variant, "seed": seed, "accuracy": right, "history": history})
            print(f"{variant:7} seed {seed}: {right:.2%} of {test.count} test pictures", flush=True)
            if arguments.out is not None:
                facts = {"plan": asdict(plan), "width": arguments.width, "runs": rows}
                arguments.out.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return 0


def _trained(module: nn.Module, train: Examples, test: Examples, plan: Plan, folder: Path | None) -> History:
    """Train; quantisation, where there is any, is whole from half the steps on, and whenever a score is taken."""

    def before(step: int) -> None:
        set_phase(module, min(1.0, 2 * (step + 1) / plan.steps))

    def score(network: nn.Module) -> float:
        set_phase(network, 1.0)
        with torch.autocast("cpu", torch.bfloat16):
            return accuracy(network, test)

    def say(done: int, total: int, what: str = "") -> None:
        if done % 50 == 0 or done == total:
            print(f"[{done} of {total}, {what}]", file=sys.stderr, flush=True)

    return fit(module, train, loss, plan, score=score, folder=folder, before_step=before, progress=say)


def _folder(work: Path | None, name: str) -> Path | None:
    return work / name if work is not None else None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.ternary", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="DIR")
    add("--variants", type=lambda text: text.split(","), default=list(VARIANTS), metavar="A,B")
    add("--seeds", type=lambda text: [int(n) for n in text.split(",")], default=[0], metavar="N,M")
    add("--steps", type=int, default=20 * 391, help="of each run; a round of the pictures is 391 (7820)")
    add("--rate", type=float, default=0.1, help="highest learning rate; ternary runs take half (0.1)")
    add("--decay", type=float, default=5e-4, help="weight decay (0.0005)")
    add("--width", type=int, default=32, help="channels of the first convolution (32)")
    add("--threads", type=int, default=2)
    add("--work", type=Path, metavar="DIR", help="keeps checkpoints")
    add("--out", type=Path, metavar="FILE", help="figures as JSON, written after each run")
    found = parser.parse_args()
    for name in found.variants:
        if name not in VARIANTS:
            parser.error(f"no variant {name!r}; there are {', '.join(VARIANTS)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
