"""Run a bundle's golden inputs through its portable graph and compare with its golden outputs."""

from __future__ import annotations

from dataclasses import dataclass

from edgepress.bundle import Bundle
from edgepress.metrics.difference import worst_difference
from edgepress.runtimes.ort import OrtEngine


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
            worst = worst_difference(array, found.get(name))
            results.append(GoldenCheck(part, number, name, worst, record.tolerance.get(name, 0.0)))
    return results
