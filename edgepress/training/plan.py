"""How long and how fast to train, as numbers; and what they are at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Plan:
    """A training run.

    Attributes:
        steps: batches in all.
        batch: examples in a batch.
        rate: the highest learning rate.
        warmup: the share of steps in which the rate rises to it from zero.
        shape: how it falls afterwards: ``cosine`` or ``linear`` to ``floor`` of itself, or ``constant``.
        floor: the share of ``rate`` at the end.
        decay: weight decay (decoupled, as AdamW has it) of tensors with two axes or more.
        decay_until: the share of steps after which there is none, as 1.58-bit training wants it.
        optimiser: ``adamw``, or ``sgd`` with Nesterov momentum of 0.9.
        clip: the largest norm of all gradients together; 0 leaves them.
        precision: ``float32``, or ``bfloat16`` where operators allow it (parameters stay float32).
        every: steps between evaluations and checkpoints; 0 is a twentieth of all.
        patience: evaluations without a better score after which training ends; 0 goes on to the end.
        patience_from: the share of steps before which scores do not count for that.
        seed: of initial weights, order, augmentation and dropout.
    """

    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    warmup: float = 0.05
    shape: Literal["cosine", "linear", "constant"] = "cosine"
    floor: float = 0.0
    decay: float = 0.0
    decay_until: float = 1.0
    optimiser: Literal["adamw", "sgd"] = "adamw"
    clip: float = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"
    every: int = 0
    patience: int = 0
    patience_from: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low in (
            ("steps", 1),
            ("batch", 1),
            ("every", 0),
            ("patience", 0),
            ("clip", 0),
            ("decay", 0),
        ):
            if not getattr(self, name) >= low:
                raise ValueError(f"{name} is at least {low}, not {getattr(self, name)}")
        for name in ("warmup", "floor", "decay_until", "patience_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is from 0 to 1, not {getattr(self, name)}")
        if not (self.rate > 0 and math.isfinite(self.rate)):
            raise ValueError(f"rate is above 0, not {self.rate}")

    @property
    def interval(self) -> int:
        """Steps between evaluations."""
        return self.every or max(1, self.steps // 20)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = self.warmup * self.steps
        if step < rising:
            return self.rate * (step + 1) / (rising + 1)
        done = (step - rising) / max(1.0, self.steps - rising)
        share = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[
            self.shape
        ]
        return self.rate * (self.floor + (1 - self.floor) * share)

    def decay_at(self, step: int) -> float:
        """The weight decay of a step."""
        return self.decay if step < self.decay_until * self.steps else 0.0
