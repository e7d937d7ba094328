"""The options of the method ``ternary``: all have defaults that serve without tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgepress.nn import Ternary
from edgepress.nn.ternarise import SMALLEST
from edgepress.training import Plan


@dataclass(frozen=True)
class TernaryConfig:
    """Which layers become ternary, and how they are trained.

    Attributes:
        measure: what a weight's scale is taken from: the ``median`` or the ``mean`` of magnitudes.
        per_channel: one scale for each output channel, or one for the whole tensor.
        activations: ``auto``, ``dynamic`` or ``static``; see :class:`edgepress.nn.Ternary`.
        norm: layer normalisation without parameters before dynamic quantisation.
        skip: shell patterns of names of layers that stay as they are.
        skip_first, skip_last: leave the first and the last layer as they are.
        smallest: layers of fewer weights stay as they are.
        rest: what becomes of the layers left: ``int8`` or ``float``.
        onnxruntime: ``exact`` products of integers in the engine ort, or its own of two-bit weights, ``two-bit``:
            faster for one or two rows, and about a per cent off in each layer.
        start: ``float`` begins with the module's own weights; ``scratch`` trains a float network first, then a
            ternary one from it; ``auto`` is ``float`` where the module's own weights do better than chance.
        task: ``auto`` finds it by the targets: whole numbers are classes, floats are numbers to meet, none is
            distillation alone.
        loss: ``package.module:callable`` or ``file.py:callable``, called with outputs and targets; in place of task.
        steps: batches of the ternary training; 0 takes layers that are ternary already as they are.
        rounds: in place of ``steps``: how often all examples are seen.
        float_steps: batches of the float training that comes first with ``scratch``; -1 is as many as ``steps``, 0
            is none.
        batch, rate, warmup, decay, decay_until, optimiser, clip, precision, patience, seed: see
            :class:`edgepress.training.Plan`.
        every: steps between scores and checkpoints; 0 is a twentieth of all.
        phase: the share of steps in which quantisation comes in.
        distil: the weight of the float network's outputs in the loss, from 0 to 1; the targets have the rest.
        temperature: by which class scores are softened when they are distilled.
        held_out: the share of examples that are scored instead of trained on.
        augment: how pictures of a folder are changed at random.
        device: where to train: ``auto`` is a CUDA device where there is one.
    """

    measure: Literal["median", "mean"] = "median"
    per_channel: bool = False
    activations: Literal["auto", "dynamic", "static"] = "auto"
    norm: bool = True
    skip: tuple[str, ...] = ()
    skip_first: bool = True
    skip_last: bool = True
    smallest: int = SMALLEST
    rest: Literal["int8", "float"] = "int8"
    onnxruntime: Literal["exact", "two-bit"] = "exact"
    start: Literal["auto", "float", "scratch"] = "auto"
    task: Literal["auto", "classification", "regression", "distillation"] = "auto"
    loss: str = ""
    steps: int = 2000
    rounds: float = 0.0
    float_steps: int = -1
    batch: int = 128
    rate: float = 1e-3
    warmup: float = 0.05
    decay: float = 1e-4
    decay_until: float = 0.5
    optimiser: Literal["adamw", "sgd"] = "adamw"
    clip: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    every: int = 0
    patience: int = 0
    seed: int = 0
    phase: float = 0.5
    distil: float = 0.5
    temperature: float = 4.0
    held_out: float = 0.1
    augment: Literal["none", "shift", "shift and mirror"] = "shift and mirror"
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        for name, low in (("smallest", 0), ("steps", 0), ("rounds", 0), ("float_steps", -1), ("seed", 0)):
            if not getattr(self, name) >= low:
                raise ValueError(f"{name} is at least {low}, not {getattr(self, name)}")
        for name in ("phase", "distil"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is from 0 to 1, not {getattr(self, name)}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is between 0 and 1, not {self.held_out}")
        if not self.temperature > 0:
            raise ValueError(f"temperature is above 0, not {self.temperature}")
        self.plan(1000)  # checks the rest

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.steps or self.rounds)

    @property
    def layers(self) -> Ternary:
        """How layers quantise."""
        return Ternary(self.measure, self.per_channel, self.activations, self.norm)

    def plan(self, count: int, *, is_float: bool = False) -> Plan:
        """The plan of the ternary training, or of the float one, on so many examples."""
        steps = self.steps
        if self.rounds:
            steps = round(self.rounds * max(1, count // max(1, min(self.batch, count))))
        if is_float and self.float_steps >= 0:
            steps = self.float_steps
        return Plan(
            steps=max(1, steps), batch=self.batch, rate=self.rate, warmup=self.warmup, decay=self.decay,
            decay_until=1.0 if is_float else self.decay_until, optimiser=self.optimiser, clip=self.clip,
            precision=self.precision, every=self.every, patience=self.patience, seed=self.seed,
            patience_from=0.0 if is_float else self.phase,  # until then scores tell little
        )  # fmt: skip
