"""The measuring protocol: warm up, then take turns in short blocks, so that a drift hits all alike.

Before each block one run is thrown away: it pays for what the engine before left in the caches, and for
threads of its pool that still spin.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgepress.errors import UsageError
from edgepress.measurement import Measurement
from edgepress.progress import Progress, silent

_BLOCK = 5
_LONGEST_BLOCK = 0.5  # seconds: slow runs take turns sooner


@dataclass(frozen=True)
class Protocol:
    """How long to measure.

    Attributes:
        runs: how many runs of each are counted, at least.
        seconds: measure for that long instead, all together; None goes by ``runs``.
        warmup: how many runs of each come before.
    """

    runs: int = 50
    seconds: float | None = None
    warmup: int = 5

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            UsageError: the time is not finite, or a figure is too small to measure anything.
        """
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise UsageError(f"{self.seconds} seconds cannot be measured; give a finite time above 0")
        if self.runs < 1 or self.warmup < 0:
            raise UsageError(
                f"{self.runs} runs after {self.warmup} cannot be measured; give at least 1 after 0"
            )


@dataclass(frozen=True)
class Timing:
    """The runs of one engine, in milliseconds, block by block."""

    blocks: tuple[tuple[float, ...], ...]

    @property
    def runs(self) -> list[float]:
        """Every run, in the order they were made."""
        return [run for block in self.blocks for run in block]

    @property
    def medians(self) -> list[float]:
        """The median of each block."""
        return [float(np.median(block)) for block in self.blocks]

    def figures(self, how: str) -> list[Measurement]:
        """The fastest run, the median (its range: the blocks' medians), the 90th and the 99th percentile."""
        runs = self.runs
        how = f"{len(runs)} runs; {how}"
        p50, p90, p99 = (float(np.percentile(runs, rank)) for rank in (50, 90, 99))
        low, high = interval(self.medians)
        return [
            Measurement("latency least", min(runs), "ms", "measured", how),
            Measurement("latency p50", p50, "ms", "measured", how, min(low, p50), max(high, p50)),
            Measurement("latency p90", p90, "ms", "measured", how),
            Measurement("latency p99", p99, "ms", "measured", how),
        ]

    def ratio_to(self, base: Timing, how: str) -> Measurement:
        """This time over ``base``'s: the median of the ratios of blocks measured side by side."""
        ratios = [mine / other for mine, other in zip(self.medians, base.medians, strict=True)]
        low, high = interval(ratios)
        return Measurement("latency ratio", float(np.median(ratios)), "times", "measured", how, low, high)


def take_turns(
    calls: Mapping[str, Callable[[], object]],
    protocol: Protocol,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Measure several callables side by side.

    Args:
        calls: what to run, by name.
        protocol: how long.
        progress: told of each round.
        clock: gives seconds.

    Returns:
        The timing of each; all have the same number of blocks.
    """
    names = list(calls)
    slowest = max(_warm_up(calls[name], protocol.warmup, clock) for name in names)
    size = max(1, min(_BLOCK, protocol.runs, int(_LONGEST_BLOCK / slowest) if slowest > 0 else _BLOCK))
    rounds = math.ceil(protocol.runs / size)
    blocks: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    start = clock()
    done = 0
    while True:
        spent = clock() - start
        if protocol.seconds is None:
            progress(done, rounds, "measuring")
            if done >= rounds:
                break
        else:
            progress(
                min(int(spent * 10), int(protocol.seconds * 10)),
                max(1, int(protocol.seconds * 10)),
                "measuring",
            )
            if done and spent >= protocol.seconds:
                break
        turn = done % len(names)
        for name in names[turn:] + names[:turn]:
            blocks[name].append(_block(calls[name], size, clock))
        done += 1
    return {name: Timing(tuple(found)) for name, found in blocks.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """A 95 % interval for the median of ``values``, from their ranks (normal approximation)."""
    ordered = sorted(values)
    count = len(ordered)
    skip = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
    return ordered[skip], ordered[count - 1 - skip]


def _warm_up(call: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    """Run ``count`` times, at least once; returns the last run's seconds."""
    seconds = 0.0
    for _ in range(max(1, count)):
        seconds = _timed(call, clock)
    return seconds


def _block(call: Callable[[], object], size: int, clock: Callable[[], float]) -> tuple[float, ...]:
    call()
    return tuple(_timed(call, clock) * 1e3 for _ in range(size))


def _timed(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start
