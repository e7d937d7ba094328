"""One run of CIFAR-10: from its settings to a trained network and the history of its training."""

from __future__ import annotations

import copy
import dataclasses
import functools
import sys
import threading
from pathlib import Path

import torch
from torch import Tensor, nn

from edgepress.distill import score_divergence
from edgepress.nn import Ternary, set_phase, ternarise
from edgepress.progress import Progress
from edgepress.training import History, Plan, fit
from edgepress.training.augment import PAD, shifted
from edgepress.training.examples import Batch, Examples
from edgepress.training.loop import Loss
from tests.benchmarks.ternary.cifar import Network, loss, normalised
from tests.benchmarks.ternary.runs import Run, float_run

_ROUND = 391  # steps between checkpoints: a round of the pictures at a batch of 128
_WINDOWS_OF = 2000  # pictures that whitening filters come from


class Trainer:
    """Trains runs, each after those that it begins from or learns from; a run is trained once.

    Several threads may ask for runs at a time: all first weights are drawn when the trainer is made.

    Args:
        work: keeps a checkpoint of each run; a run that was stopped goes on where it was.
    """

    def __init__(self, runs: list[Run], train: Examples, work: Path | None) -> None:
        self.runs, self.train, self.work = runs, train, work
        self._first = {run: _first_weights(run, train) for run in runs if not run.start}
        self._done: dict[Run, tuple[Network, History]] = {}
        self._turns = {run: threading.Lock() for run in runs}

    def trained(self, run: Run) -> tuple[Network, History]:
        """The network as its last step left it, in evaluation mode; it is the trainer's own."""
        with self._turns[run]:
            if run not in self._done:
                self._done[run] = self._train(run)
            return self._done[run]

    def _train(self, run: Run) -> tuple[Network, History]:
        ternary = run.variant != "float"
        plan = Plan(
            steps=run.steps, batch=run.batch, rate=run.rate, warmup=0.1, shape="linear", decay=run.decay,
            decay_until=0.5 if ternary else 1.0, optimiser="sgd", clip=0, precision="bfloat16",
            every=min(_ROUND, run.steps), seed=run.seed,
        )  # fmt: skip
        network = self._begun(run)
        if ternary:
            ternarise(network, Ternary(measure=run.variant))  # type: ignore[arg-type]
        teacher = self.trained(float_run(self.runs, run.teacher, run.seed))[0] if run.teacher else None

        def before(step: int) -> None:
            # Quantisation is whole from half the steps on.
            set_phase(network, min(1.0, 2 * (step + 1) / plan.steps))

        history = fit(
            network, _shifted(self.train, run.shift), loss if teacher is None else learning_from(teacher), plan,
            folder=None if self.work is None else self.work / run.name, before_step=before, progress=_say(run),
        )  # fmt: skip
        return network, history

    def _begun(self, run: Run) -> Network:
        if not run.start:
            return self._first[run]
        return copy.deepcopy(self.trained(float_run(self.runs, run.start, run.seed))[0])


def _first_weights(run: Run, train: Examples) -> Network:
    torch.manual_seed(run.seed)
    network = Network(run.width, run.shrink, run.scale)
    if run.prepared:
        network.prepare(train.take(torch.arange(min(_WINDOWS_OF, train.count)))[0])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def _shifted(train: Examples, pixels: int) -> Examples:
    if pixels == PAD or train.augment is None:
        return train
    augment = functools.partial(shifted, pad=pixels)
    return dataclasses.replace(train, augment=augment, digest=f"{train.digest} {pixels}")


def learning_from(teacher: nn.Module) -> Loss:
    """Half the labels' loss, half the distance from the teacher's softened choices."""

    def distance(module: nn.Module, batch: Batch) -> Tensor:
        x = normalised(batch[0])
        with torch.no_grad():
            wanted = teacher(x).float()
        scores = module(x).float()
        return (nn.functional.cross_entropy(scores, batch[1]) + score_divergence(scores, wanted)) / 2

    return distance


def _say(run: Run) -> Progress:
    def say(done: int, total: int, what: str = "") -> None:
        if done % 100 == 0 or done == total:
            print(f"[{run.name}: {done} of {total}, {what}]", file=sys.stderr, flush=True)

    return say
