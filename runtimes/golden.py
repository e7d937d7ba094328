"""Run a bundle's golden inputs through what it ships and compare with its golden outputs."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgepress.bundle import Bundle
from edgepress.errors import BundleError, TargetError, TrustError
from edgepress.metrics.difference import worst_difference
from edgepress.runtimes.choose import PORTABLE, Choice, choose
from edgepress.runtimes.engine import Engine


@dataclass(frozen=True)
class GoldenCheck:
    """One golden output compared: the worst absolute difference, and what was allowed."""

    part: str
    example: int
    output: str
    worst: float
    limit: float
    engine: str = PORTABLE

    @property
    def passed(self) -> bool:
        """Whether the difference is within the limit; a NaN is not."""
        return self.worst <= self.limit


@dataclass(frozen=True)
class PartChecks:
    """A part's checks by every engine that can run here.

    Attributes:
        checks: the golden outputs compared, engine by engine.
        not_run: engines that did not run, with the reason.
    """

    checks: list[GoldenCheck] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)


def check_golden(bundle: Bundle, part: str) -> list[GoldenCheck]:
    """Compare every golden output of a part with what its portable graph gives here.

    Raises:
        BundleError: the graph or an example cannot be loaded.
    """
    if not bundle.manifest.parts[part].golden:
        return []
    return _compare(bundle, part, PORTABLE, Choice(PORTABLE).start(bundle, part, None))


def check_engines(bundle: Bundle, part: str, trust: bool = False) -> PartChecks:
    """Compare every golden output with what the portable graph and each engine give here.

    Machine code runs where this machine is the target and the code is trusted.

    Args:
        bundle: the open bundle.
        part: which part.
        trust: run machine code that was not built on this machine.

    Raises:
        BundleError: the portable graph, an engine of this machine or an example cannot be loaded.
    """
    record = bundle.manifest.parts[part]
    found = PartChecks(check_golden(bundle, part))
    for engine, files in record.engines.items():
        if not record.golden:
            found.not_run[engine] = "there are no golden examples"
            continue
        if files.graph is None and "library" not in files.files:
            found.not_run[engine] = "it has no library that could be loaded here; check it on its board"
            continue
        try:
            choice = choose(bundle, part, engine, trust)
        except (TargetError, TrustError) as error:
            found.not_run[engine] = str(error)
            continue
        try:
            running = choice.start(bundle, part, None)
        except BundleError as error:
            if not choice.note:  # this is the target, where it must load
                raise
            found.not_run[engine] = str(error)  # a graph for another ONNX Runtime
            continue
        found.checks.extend(_compare(bundle, part, engine, running))
    return found


def _compare(bundle: Bundle, part: str, name: str, engine: Engine) -> list[GoldenCheck]:
    record = bundle.manifest.parts[part]
    results = []
    for number, (inputs, expected) in enumerate(bundle.golden(part)):
        found = engine.run(inputs)
        for output, array in expected.items():
            worst = worst_difference(array, found.get(output))
            limit = record.tolerance.get(output, 0.0)
            results.append(GoldenCheck(part, number, output, worst, limit, name))
    return results
