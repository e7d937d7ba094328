"""Run a bundle's golden inputs through its portable graph and compare with its golden outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.bundle import Bundle, Manifest
from edgepress.runtimes.ort import OrtEngine

# Of the output's greatest magnitude (at least 1), where the manifest states no tolerance.
DEFAULT = 1e-4
# The checks that compare an engine's outputs with the golden ones.
ENGINES = ("aot", "ort", "portable")


@dataclass(frozen=True)
class GoldenCheck:
    """One golden output compared: the worst absolute difference, and what was allowed."""

    part: str
    example: int
    output: str
    worst: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the limit; a NaN is not."""
        return self.worst <= self.limit


def check_golden(bundle: Bundle, part: str) -> list[GoldenCheck]:
    """Compare every golden output of a part with what its portable graph gives here.

    Raises:
        BundleError: the graph or an example cannot be loaded.
    """
    record = bundle.manifest.parts[part]
    examples = bundle.golden(part)
    if not examples:
        return []
    engine = OrtEngine(bundle, record.graph)
    results = []
    for number, (inputs, expected) in enumerate(examples):
        found = engine.run(inputs)
        for name, array in expected.items():
            worst = difference(found.get(name), array)
            results.append(GoldenCheck(part, number, name, worst, tolerance(bundle.manifest, array)))
    return results


def difference(found: np.ndarray[Any, Any] | None, expected: np.ndarray[Any, Any]) -> float:
    """The greatest absolute difference; infinite where the output is missing or of another shape.

    Where both hold the same non-finite value, they are equal.
    """
    if found is None or found.shape != expected.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    a, b = found.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(apart), np.inf, apart).max())


def tolerance(manifest: Manifest, expected: np.ndarray[Any, Any]) -> float:
    """What a golden output may differ by: the widest limit that a check of the build stated.

    A limit in output steps counts in the smallest gap between two values of the golden output: a quantised
    output holds whole steps only.
    """
    limits = [check.limit for check in manifest.checks if check.unit == "absolute" and check.step in ENGINES]
    steps = [check.limit for check in manifest.checks if check.unit == "output steps"]
    if steps:
        gaps = np.diff(np.unique(expected.astype(np.float64)))
        limits.append(max(steps) * float(gaps.min()) if gaps.size else 0.0)
    finite = expected[np.isfinite(expected)] if expected.dtype.kind == "f" else expected
    magnitude = float(np.abs(finite.astype(np.float64)).max()) if finite.size else 0.0
    return max(limits, default=DEFAULT * max(1.0, magnitude))
