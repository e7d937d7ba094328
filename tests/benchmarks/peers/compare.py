"""Whether an engine computes the network at all: its outputs against ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.task import Task

RELATIVE = 1e-4  # fp32: of the largest value of an output
SAME_MODEL_DB = 3.0  # int8, the same graph: this much farther from fp32 than ONNX Runtime's int8 is
OWN_MODEL_DB = 10.0  # int8, quantised by the engine itself: signal over noise, against fp32


@dataclass(frozen=True)
class Comparison:
    """How near an engine's outputs are.

    Attributes:
        worst: the largest difference from ONNX Runtime's outputs in the same precision, over the largest value.
        steps: the same in steps of a quantised output, where every output is quantised; else None.
        noise_db: signal over noise against ONNX Runtime's fp32 outputs.
        allowed: what was asked, in words.
        passed: whether that was met.
        as_accurate: whether it is also as near to fp32 as ONNX Runtime in the same precision, within 3 dB: an
            engine's own quantisation may pass and yet be worth less than what it is compared with.
    """

    worst: float
    steps: float | None
    noise_db: float
    allowed: str
    passed: bool
    as_accurate: bool


def compare(task: Task, found: Mapping[str, Array], own_model: bool) -> Comparison:
    """Compare outputs of the first input sets, named ``<set>/<output>``."""
    folder = Path(task.graphs)
    expected, plain = dict(np.load(folder / f"{task.precision}.npz")), dict(np.load(folder / "fp32.npz"))
    if set(found) != set(expected) or any(found[name].shape != expected[name].shape for name in expected):
        return Comparison(float("inf"), None, -200.0, "the same outputs", False, False)
    worst = max(_largest(found[n] - expected[n]) / _largest(expected[n]) for n in expected)
    noise = _noise(plain, found)
    if task.precision == "fp32":
        near = worst <= RELATIVE
        return Comparison(worst, None, noise, f"{RELATIVE:g} of the largest output", near, near)
    sizes = task.facts["int8_steps"]
    steps = None
    if all(name.partition("/")[2] in sizes for name in expected):
        steps = max(_largest(found[n] - expected[n]) / sizes[n.partition("/")[2]] for n in expected)
    least = _noise(plain, expected) - SAME_MODEL_DB
    limit = OWN_MODEL_DB if own_model else least
    return Comparison(worst, steps, noise, f"{limit:.1f} dB to fp32", noise >= limit, noise >= least)


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0)) if np.isfinite(values).all() else float("inf")


def _noise(expected: Mapping[str, Array], found: Mapping[str, Array]) -> float:
    """Decibels over all outputs; at most 200."""
    power = sum(float(np.square(array.astype(np.float64)).mean()) for array in expected.values())
    wrong = sum(float(np.square(found[n].astype(np.float64) - expected[n]).mean()) for n in expected)
    return min(200.0, 10 * float(np.log10(power / wrong))) if wrong > 0 else 200.0
