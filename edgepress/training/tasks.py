"""What a network is trained to do: the number to make small, and the score that tells how well it does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.distill import relative_error, score_divergence
from edgepress.errors import DataError, SourceError, UsageError
from edgepress.tensor import TensorSpec
from edgepress.training.examples import Batch, Examples
from edgepress.user_code import sentence

Kind = Literal["classification", "regression", "distillation", "own loss"]
OwnLoss = Callable[..., Tensor]
_SCORED = 256  # examples at a time


@dataclass(frozen=True)
class Task:
    """A task, and how to tell how well it is done.

    Attributes:
        kind: ``classification`` by cross-entropy, ``regression`` by the mean squared error, ``distillation`` towards
            a teacher without targets, or the user's ``own loss``.
        inputs: the network's; batches hold so many tensors, then the targets.
        own: the user's ``own(outputs, *targets)``.
        scores: whether outputs are class scores: distilled as such.
    """

    kind: Kind
    inputs: tuple[TensorSpec, ...]
    own: OwnLoss | None = None
    scores: bool = False

    @property
    def score_name(self) -> str:
        """What :meth:`score` gives: the higher the better."""
        return {
            "classification": "accuracy", "regression": "minus the mean squared error",
            "distillation": "signal-to-noise ratio in dB", "own loss": "minus the loss",
        }[self.kind]  # fmt: skip

    def loss(self, module: nn.Module, batch: Batch) -> Tensor:
        """Of one batch, without distillation.

        Raises:
            DataError: the targets do not fit the outputs.
        """
        x, targets = self.parts(batch)
        return self.compared(run(module, x), targets)

    def compared(self, outputs: Any, targets: Sequence[Tensor]) -> Tensor:
        """The loss of outputs that are there already."""
        if self.own is not None:
            return _own_loss(self.own, outputs, targets)
        given = tensors_of(outputs)[0]
        if self.kind == "classification":
            return functional.cross_entropy(*_class_scores(given, targets[0]))
        if len(given) != len(targets[0]) or given.numel() != targets[0].numel():
            raise DataError(
                f"the targets have the shape {_shape(targets[0])} and the network gives {_shape(given)} for one "
                "example; give targets of that shape"
            )
        return functional.mse_loss(given.float(), targets[0].float().reshape(given.shape))

    def distance(self, outputs: Any, teacher: Any, temperature: float) -> Tensor:
        """How far outputs lie from the teacher's."""
        pairs = list(zip(tensors_of(outputs), tensors_of(teacher), strict=True))
        if self.scores:
            (given, wanted), *rest = pairs
            total = score_divergence(given, wanted, temperature)
            return total + sum((relative_error(a, b) for a, b in rest), given.new_zeros(()))
        total = torch.stack([relative_error(a, b) for a, b in pairs if a.is_floating_point()])
        return total.mean()

    def score(self, module: nn.Module, examples: Examples, teacher: nn.Module | None = None) -> float:
        """Of all examples; the higher the better (see :attr:`score_name`)."""
        device = next(iter(module.state_dict().values()), torch.zeros(())).device
        total, weight = 0.0, 0
        with torch.no_grad():
            for batch in examples.in_order(_SCORED):
                x, targets = self.parts(tuple(part.to(device) for part in batch))
                count = len(x[0])
                if self.kind == "classification":
                    scores, right = _class_scores(tensors_of(run(module, x))[0], targets[0])
                    total += float((scores.argmax(1) == right).float().mean()) * count
                elif self.kind == "distillation":
                    assert teacher is not None
                    pairs = zip(tensors_of(run(module, x)), tensors_of(run(teacher, x)), strict=True)
                    total += float(torch.stack([relative_error(a, b) for a, b in pairs]).mean()) * count
                else:
                    total -= float(self.compared(run(module, x), targets)) * count
                weight += count
        mean = total / weight
        return float(-10 * np.log10(max(mean, 1e-12))) if self.kind == "distillation" else mean

    def parts(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """A batch's inputs, as the network takes them, and its targets.

        Raises:
            DataError: it does not fit the network's inputs.
        """
        return fitted(batch, self.inputs), list(batch[len(self.inputs) :])


def fitted(batch: Batch, inputs: tuple[TensorSpec, ...]) -> list[Tensor]:
    """A batch's inputs in the types that the network takes.

    Raises:
        DataError: they do not fit the network's inputs.
        UsageError: an input has no axis for the batch.
    """
    if len(batch) < len(inputs):
        raise DataError(
            f"an example holds {len(batch)} tensors, and the network takes {len(inputs)} inputs; give all"
        )
    x = []
    for given, spec in zip(batch, inputs, strict=False):
        if not spec.shape or spec.shape[0] != 1:
            raise UsageError(
                f"training counts examples along the first axis, and {spec.name} has the shape {spec.shape}; "
                f"give --input {spec.name}:1x… for one example"
            )
        kind = getattr(torch, "bool" if spec.dtype.startswith("bool") else spec.dtype)
        if tuple(given.shape[1:]) != spec.shape[1:] or given.is_floating_point() != kind.is_floating_point:
            raise DataError(
                f"the examples hold {str(given.dtype).removeprefix('torch.')} {_shape(given)} for the input "
                f"{spec.name}, and the network takes {spec.dtype} {_extents(spec.shape[1:])}; convert them where "
                "they are loaded"
            )
        x.append(given.to(kind))
    return x


def find_task(
    wanted: str, own: OwnLoss | None, examples: Examples, inputs: tuple[TensorSpec, ...], scores: bool
) -> Task:
    """The task that examples are for, and a look at whether they fit.

    Args:
        wanted: a :data:`Kind`, or ``auto``: classification where an example ends with a whole number (or several),
            regression where it ends with floats, distillation where it holds inputs alone.
        own: the user's loss, which comes before ``wanted``.
        scores: whether the network's first output is known to be class scores.

    Raises:
        DataError: the examples do not fit the network's inputs.
        UsageError: the task needs targets that are not there.
    """
    batch = examples.take(torch.arange(1))
    fitted(batch, inputs)
    targets = batch[len(inputs) :]
    if own is not None:
        return Task("own loss", inputs, own, scores)
    found: Kind = "distillation"
    if targets:
        found = "regression" if targets[0].is_floating_point() else "classification"
    if wanted != "auto":
        found = wanted  # type: ignore[assignment]
    if found in ("classification", "regression") and not targets:
        raise UsageError(
            f"{found} needs targets, and the examples hold the inputs alone; give both, or task = 'distillation'"
        )
    if found == "classification" and targets[0].is_floating_point():
        raise DataError(
            "classes are whole numbers, and the targets are floats; give task = 'regression' for those"
        )
    return Task(found, inputs, None, scores or found == "classification")


def run(module: nn.Module, x: Sequence[Tensor]) -> Any:
    """The network's outputs for a batch of inputs.

    Raises:
        SourceError: the network fails on it.
    """
    try:
        return module(*x)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the user's code may raise anything
        raise SourceError(
            f"the network failed on {len(x[0])} examples at once: {sentence(error)}; its first axis must take any "
            "number"
        ) from error


def tensors_of(outputs: Any) -> list[Tensor]:
    """The float tensors that a network gives, in order."""
    flat, _ = torch.utils._pytree.tree_flatten(outputs)
    return [item for item in flat if isinstance(item, Tensor) and item.is_floating_point()]


def _class_scores(scores: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """``[n, classes]`` scores and ``[n]`` classes, of ``[batch, …, classes]`` or of ``[batch, classes, …]``."""
    if scores.shape[:-1] == classes.shape:
        flat = scores.reshape(-1, scores.shape[-1])
    elif scores.dim() > 1 and (scores.shape[0], *scores.shape[2:]) == tuple(classes.shape):
        flat = scores.movedim(1, -1).reshape(-1, scores.shape[1])
    else:
        raise DataError(
            f"the network gives scores of shape {_shape(scores)} for one example, and its class has the shape "
            f"{_shape(classes)}; give one class for each row of scores"
        )
    right = classes.reshape(-1).long()
    low, high = int(right.min()), int(right.max())
    if low < 0 or high >= flat.shape[1]:
        raise DataError(
            f"the examples have the class {low if low < 0 else high}, and the network scores {flat.shape[1]} classes, "
            "0 and up; give a network with as many outputs as classes"
        )
    return flat.float(), right


def _own_loss(own: OwnLoss, outputs: Any, targets: Sequence[Tensor]) -> Tensor:
    try:
        value = own(outputs, *targets)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the user's code may raise anything
        raise UsageError(
            f"the loss failed: {sentence(error)}; it is called with the network's outputs and the targets"
        ) from error
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise UsageError(f"the loss gave {type(value).__name__}; it must give a tensor with one number")
    return value.reshape(())


def _shape(batch: Tensor) -> str:
    return _extents(tuple(batch.shape[1:]))


def _extents(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
