"""What a model's output means: scores of labelled classes, or plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class ScoresOutput:
    """One score a class, along the last axis.

    Attributes:
        activation: what turns scores into probabilities: ``softmax`` (one class is true), ``sigmoid``
            (any number are), ``none`` (the graph ends in probabilities already).
        labels: a member of the bundle with one label a line, or empty.
    """

    kind: Literal["scores"] = "scores"
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    labels: str = ""


@dataclass(frozen=True)
class ArrayOutput:
    """Numbers that edgepress does not interpret."""

    kind: Literal["array"] = "array"


OutputKind = ScoresOutput | ArrayOutput


@dataclass(frozen=True)
class Label:
    """One class of a result: its index, its name, its probability."""

    index: int
    name: str
    probability: float


def probabilities(scores: np.ndarray[Any, Any], activation: str) -> np.ndarray[Any, Any]:
    """Turn scores into probabilities, in float64, along the last axis."""
    values = scores.astype(np.float64)
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-values)))
    return np.asarray(values)


def top(scores: np.ndarray[Any, Any], kind: ScoresOutput, labels: list[str], count: int = 5) -> list[Label]:
    """The ``count`` most probable classes of one result, most probable first; ties keep the lower index first."""
    flat = probabilities(scores.reshape(-1), kind.activation)
    order = np.argsort(-flat, kind="stable")[:count]
    return [Label(int(i), labels[i] if i < len(labels) else f"class {i}", float(flat[i])) for i in order]
