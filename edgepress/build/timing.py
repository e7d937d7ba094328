"""Time graphs and compiled engines on this machine, in turn, so that a change of clock hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgepress.build.steps import GRAPH
from edgepress.hardware.measure import Protocol, take_turns
from edgepress.progress import Progress
from edgepress.runtimes.native import NativeModel
from edgepress.samples import Feed

_PROTOCOL = Protocol(runs=50, warmup=3)


def time_engines(
    engines: Mapping[str, tuple[Path, dict[str, Any]]], feed: Feed, progress: Progress
) -> dict[str, float]:
    """The median time of one inference of each compiled engine, one thread, in milliseconds.

    Args:
        engines: by name, the folder of its step and what the step says of it.
        feed: the inputs to run on.
        progress: told of each round.

    Raises:
        BundleError, TargetError: a library does not load on this machine.
    """

    def call(name: str, folder: Path, facts: dict[str, Any]) -> Callable[[], object]:
        if name != "aot":
            return _graph(folder / GRAPH, feed)
        model = NativeModel(folder / facts["files"]["library"], (folder / "weights.bin").read_bytes())
        return lambda: model.run(feed)

    timings = take_turns({name: call(name, *made) for name, made in engines.items()}, _PROTOCOL, progress)
    return {name: float(np.median(timing.runs)) for name, timing in timings.items()}


def graph_ratio(pressed: Path, plain: Path, feed: Feed, progress: Progress) -> float:
    """The pressed graph's time over the plain one's in ONNX Runtime, one thread."""
    timings = take_turns(
        {"pressed": _graph(pressed, feed), "plain": _graph(plain, feed)}, _PROTOCOL, progress
    )
    return float(timings["pressed"].ratio_to(timings["plain"], "").value or 0.0)


def _graph(path: Path, feed: Feed) -> Callable[[], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    takes = [item.name for item in session.get_inputs()]
    return lambda: session.run(None, {name: feed[name] for name in takes})
