"""One case: a network in a precision on a number of threads, every engine in turns.

With several threads the cores are asked before and after each round what they do together. A round in which
they were one core's two threads says nothing of the engines and is measured again.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.client import Client, PeerError
from tests.benchmarks.peers.compare import Comparison, compare
from tests.benchmarks.peers.cores import CoreProbe, Together
from tests.benchmarks.peers.graphs import CHECKED
from tests.benchmarks.peers.task import Task

SHARED = 0.85  # times the number of threads: cores that do less together share something


@dataclass(frozen=True)
class Protocol:
    """How to measure: rounds, runs in a block, whether processes stay on as many cores as threads."""

    rounds: int
    runs: int
    pinned: bool = True
    pythons: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Entry:
    """One engine in one case: ``seconds`` by round and run, or the problem that kept it from running."""

    engine: str
    version: str = ""
    precision: str = ""
    threads: int = 0
    note: str = ""
    own_model: bool = False
    comparison: Comparison | None = None
    seconds: list[list[float]] = field(default_factory=list)
    problem: str = ""


def run_case(
    task: Task, engines: Sequence[str], protocol: Protocol, say: Callable[[str], None]
) -> tuple[list[Entry], list[Together]]:
    """Convert, load, check, and measure in turns; what fails is told in its entry, and the others go on.

    Returns:
        The engines' entries, and what the cores did together in each round; none for one thread.
    """
    entries = [Entry(engine) for engine in engines]
    with ExitStack() as stack:
        clients: dict[str, Client] = {}
        for entry in entries:
            try:
                _convert(entry, task, protocol, say)
                clients[entry.engine] = stack.enter_context(
                    Client(entry.engine, _python(protocol, entry.engine), _cores(task.threads, protocol))
                )
                _load(clients[entry.engine], entry, task)
                clients[entry.engine].sleep()
            except PeerError as error:
                entry.problem = str(error)
                say(f"{entry.engine}: {error}")
        cores = _cores(task.threads, protocol) if task.threads > 1 else ()
        together = _rounds(entries, clients, protocol, CoreProbe(cores) if cores else None, say)
    for entry in entries:
        if entry.problem:
            entry.seconds = []
    return entries, together


def _rounds(
    entries: list[Entry],
    clients: Mapping[str, Client],
    protocol: Protocol,
    probe: CoreProbe | None,
    say: Callable[[str], None],
) -> list[Together]:
    """Measure until there are enough rounds on cores of their own; shared ones count in the end as they are."""
    ready = [entry for entry in entries if not entry.problem]
    kept: list[Together] = []
    counted, again = 0, 2 * protocol.rounds
    while ready and counted < protocol.rounds:
        before = probe.ask() if probe else None
        first = counted % len(ready)
        blocks: list[tuple[Entry, list[float]]] = []
        for entry in ready[first:] + ready[:first]:
            try:
                client = clients[entry.engine]
                client.wake()
                blocks.append((entry, client.ask("block", runs=protocol.runs)["seconds"]))
                client.sleep()
            except PeerError as error:
                entry.problem = str(error)
                say(f"{entry.engine}: {error}")
        ready = [entry for entry in ready if not entry.problem]
        if probe and before:
            worse = min(before, probe.ask(), key=lambda found: found.scaling)
            if worse.scaling < SHARED * len(probe.cores) and again > 0:
                again -= 1
                time.sleep(0.2)
                continue
            kept.append(worse)
        for entry, seconds in blocks:
            entry.seconds.append(seconds)
        counted += 1
    return kept


def _convert(entry: Entry, task: Task, protocol: Protocol, say: Callable[[str], None]) -> None:
    """In a process of its own: a converter leaves threads and memory behind."""
    with Client(entry.engine, _python(protocol, entry.engine)) as client:
        entry.version = client.ask("version")["version"]
        seconds = client.ask("convert", task=replace(task, threads=1).to_json())["seconds"]
        if seconds > 1:
            say(f"{entry.engine}: converted {task.network} {task.precision} in {seconds:.0f} s")


def _load(client: Client, entry: Entry, task: Task) -> None:
    answer: dict[str, Any] = client.ask("load", task=task.to_json())
    entry.precision, entry.threads = answer["precision"], answer["threads"]
    entry.note, entry.own_model = answer["note"], answer["own_model"]
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        path = Path(folder) / "outputs.npz"
        client.ask("check", task=task.to_json(), sets=CHECKED, path=str(path))
        entry.comparison = compare(task, dict(np.load(path)), entry.own_model)
    if entry.precision != task.precision:
        entry.problem = f"it computes in {entry.precision}, not in {task.precision}"
    elif entry.threads != task.threads:
        entry.problem = f"it uses {entry.threads} thread(s), not {task.threads}"
    elif not entry.comparison.passed:
        found = entry.comparison
        entry.problem = (
            f"its outputs are wrong: worst difference {found.worst:.2g}, {found.noise_db:.1f} dB to fp32; "
            f"allowed {found.allowed}"
        )
    if entry.problem:
        raise PeerError(entry.problem)


def _python(protocol: Protocol, engine: str) -> str:
    return protocol.pythons.get(engine, sys.executable)


def _cores(threads: int, protocol: Protocol) -> tuple[int, ...]:
    """The last cores: the first one serves interrupts."""
    if not protocol.pinned or not hasattr(os, "sched_getaffinity"):
        return ()
    usable = sorted(os.sched_getaffinity(0))
    return tuple(usable[-threads:]) if threads <= len(usable) else ()
