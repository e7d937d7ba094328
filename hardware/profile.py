"""Profile a bundle on this machine: fresh starts, steady state side by side, memory, layers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from edgepress.bundle import Bundle, open_bundle
from edgepress.bundle.layers import layers_of
from edgepress.errors import TargetError, TrustError, UsageError
from edgepress.hardware.feed import example_inputs
from edgepress.hardware.fresh import FreshStart, start_fresh
from edgepress.hardware.hwbench import kept_peaks
from edgepress.hardware.kept_layers import keep_layers
from edgepress.hardware.layers import Layer, native_layers, ort_layers, with_costs
from edgepress.hardware.machine import Machine, this_machine
from edgepress.hardware.measure import Protocol, take_turns
from edgepress.measurement import Measurement
from edgepress.progress import Progress, silent
from edgepress.runtimes.choose import PORTABLE, Choice, choose, why_not_target
from edgepress.runtimes.engine import Engine, check_threads
from edgepress.runtimes.session import pick_part
from edgepress.targets.detect import usable_cores

ALL = "all"
_STARTS = 3


@dataclass(frozen=True)
class EngineProfile:
    """One engine's figures; ``ratio`` is its time over the first engine's, and its layers may be empty."""

    engine: str
    figures: tuple[Measurement, ...]
    ratio: Measurement | None = None
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Profile:
    """What was measured.

    Attributes:
        bundle, part, target: what was profiled, and the board it is for.
        machine: what it was measured on, looked at before.
        not_target: why this machine is not the board; empty where it is.
        threads: how many each engine ran on.
        note: why the engine that the bundle prefers was not used; else empty.
        figures: those of the bundle itself: sizes, arena, emulated instructions.
        engines: in the order asked for.
        left_out: engines that cannot run here, with the reason.
        load_after: runnable processes, averaged over the last minute, looked at afterwards.
    """

    bundle: str
    part: str
    target: str
    machine: Machine
    not_target: str
    threads: int
    note: str
    figures: tuple[Measurement, ...]
    engines: tuple[EngineProfile, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    load_after: float | None = None


def profile(
    path: Path,
    *,
    part: str | None = None,
    engines: Sequence[str] = (),
    protocol: Protocol = Protocol(),  # noqa: B008  (frozen)
    threads: int | None = None,
    layers: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> Profile:
    """Measure a bundle here.

    Args:
        path: the bundle.
        part: which part; needed only where there are several.
        engines: side by side; none takes the one that would run, ``("all",)`` every one that can run here.
        protocol: how long.
        threads: for every engine alike; None takes every core that this process may use.
        layers: time the layers, too.
        trust: run machine code that was not built on this machine.
        progress: told what happens.

    Raises:
        UsageError: no such part or engine.
        TargetError, TrustError: an engine that was asked for by name may not run here.
        BundleError: the bundle is damaged.
    """
    check_threads(threads)
    count = threads or usable_cores()
    machine = this_machine()
    with open_bundle(path) as bundle:
        name = pick_part(bundle, part)
        choices, left_out = _choices(bundle, name, engines, trust)
        inputs = example_inputs(bundle, name)
        fresh = {}
        for number, choice in enumerate(choices):
            progress(number, len(choices), f"fresh starts of {choice.engine}")
            fresh[choice.engine] = [
                start_fresh(path, name, choice.engine, count, trust) for _ in range(_STARTS)
            ]
        running = {choice.engine: choice.start(bundle, name, count) for choice in choices}
        calls = {engine: partial(model.run, inputs) for engine, model in running.items()}
        timings = take_turns(calls, protocol, progress)
        how = f"{count} thread(s) on {machine.cpu}, governor {machine.governor or 'unknown'}"
        first = choices[0].engine
        found = []
        for engine, timing in timings.items():
            beside = [other for other in timings if other != engine]
            turns = f"{how}, in turns with {', '.join(beside)}" if beside else how
            ratio = (
                timing.ratio_to(timings[first], f"{turns}; {engine} over {first}")
                if engine != first
                else None
            )
            figures = (*_fresh_figures(fresh[engine], how), *timing.figures(turns))
            timed = time_layers(bundle, name, engine, running[engine], protocol.runs, count) if layers else []
            found.append(EngineProfile(engine, figures, ratio, tuple(timed)))
        record = bundle.manifest.parts[name]
        return Profile(
            str(path), name, record.target, machine,
            why_not_target(bundle.manifest.targets[record.target]), count, choices[0].note,
            _bundle_figures(bundle, name), tuple(found), left_out, this_machine().load,
        )  # fmt: skip


def _choices(
    bundle: Bundle, part: str, engines: Sequence[str], trust: bool
) -> tuple[list[Choice], dict[str, str]]:
    if not engines:
        return [choose(bundle, part, None, trust)], {}
    known = [*bundle.manifest.parts[part].engines, PORTABLE]
    left_out: dict[str, str] = {}
    if ALL not in engines:
        if len(set(engines)) != len(engines):
            raise UsageError("--engines names an engine twice; name each once")
        return [choose(bundle, part, engine, trust) for engine in engines], left_out
    choices = []
    for engine in known:
        try:
            choices.append(choose(bundle, part, engine, trust))
        except (TargetError, TrustError) as error:
            left_out[engine] = str(error)
    return choices, left_out


def _fresh_figures(starts: Sequence[FreshStart], how: str) -> list[Measurement]:
    where = f"median of {len(starts)} fresh processes, file in the page cache; {how}"

    def figure(name: str, values: Sequence[float], unit: str, note: str = "") -> Measurement:
        text = f"{where}; {note}" if note else where
        return Measurement(name, statistics.median(values), unit, "measured", text, min(values), max(values))

    added = [start.model_bytes for start in starts if start.model_bytes is not None]
    memory = (
        figure(
            "memory of the model",
            added,
            "bytes",
            "peak above what the process held before the bundle was opened",
        )
        if added
        else Measurement("memory of the model", None, "bytes", "unavailable", "this system does not tell")
    )
    return [
        figure("runtime import", [start.import_ms for start in starts], "ms"),
        figure("load", [start.load_ms for start in starts], "ms"),
        figure("first inference", [start.first_ms for start in starts], "ms"),
        figure(
            "peak memory",
            [start.peak_bytes for start in starts],
            "bytes",
            "the whole process, interpreter included",
        ),
        memory,
    ]


def _bundle_figures(bundle: Bundle, part: str) -> tuple[Measurement, ...]:
    """Sizes are read from the file; instructions were counted in an emulator when the bundle was built."""
    found = [
        Measurement("bundle size", bundle.path.stat().st_size, "bytes", "measured", "length of the file")
    ]
    for engine, files in bundle.manifest.parts[part].engines.items():
        if files.arena_bytes is not None:
            how = f"{engine}: the memory plan in the manifest"
            found.append(Measurement("arena", files.arena_bytes, "bytes", "measured", how))
        instructions = files.facts.get("instructions")
        if isinstance(instructions, (int, float)) and not isinstance(instructions, bool):
            board = bundle.manifest.parts[part].target
            how = f"{engine} on {board}, one inference, counted in an emulator while building"
            found.append(Measurement("instructions", float(instructions), "instructions", "emulated", how))
    return tuple(found)


def time_layers(
    bundle: Bundle, part: str, engine: str, running: Engine, runs: int, threads: int
) -> list[Layer]:
    """The layers of an engine that runs, each timed, with what it costs and its roof where those are known.

    Raises:
        BundleError: the bundle's list of layers is damaged, or ONNX Runtime does not take the graph.
    """
    record = bundle.manifest.parts[part]
    # The portable graph's nodes are those that the engine ort was made of.
    files = record.engines.get(engine) or record.engines.get("ort")
    timed = native_layers(running, example_inputs(bundle, part), runs)
    if not timed:
        own = files.graph if files is not None and engine != PORTABLE else None
        graph = own if own is not None else record.graph
        timed = ort_layers(bundle, graph, example_inputs(bundle, part), runs, threads)
    costs = layers_of(bundle, files) if files is not None else ()
    peaks = kept_peaks()
    peak = peaks.at(threads) if peaks is not None else None
    found = with_costs(timed, costs, peak, files.arena_bytes if files is not None else None)
    keep_layers(bundle, part, engine, threads, found)
    return found
