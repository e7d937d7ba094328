"""Time compiled engines on this machine, in turn, so that a change of clock hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.build.steps import GRAPH
from edgepress.errors import TargetError
from edgepress.progress import Progress
from edgepress.samples import Feed

_WARM_UP = 3


def time_engines(
    engines: Mapping[str, tuple[Path, dict[str, Any]]], runs: int, progress: Progress
) -> dict[str, Any]:
    """The median time of one inference of each engine, one thread, in milliseconds.

    Raises:
        TargetError: an engine's library does not load on this machine.
    """
    feed: Feed = {}
    runners = {name: _runner(name, folder, facts, feed) for name, (folder, facts) in engines.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for run in range(runs + _WARM_UP):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner()
            if run >= _WARM_UP:
                seconds[name].append(time.perf_counter() - start)
        progress(run + 1, runs + _WARM_UP, "timing")
    return {"ms": {name: 1e3 * float(np.median(times)) for name, times in seconds.items()}, "runs": runs}


def _runner(name: str, folder: Path, facts: dict[str, Any], feed: Feed) -> Callable[[], object]:
    if name == "aot":
        from edgepress.runtimes.native import NativeModel

        try:
            model = NativeModel(folder / facts["files"]["library"], (folder / "weights.bin").read_bytes())
        except OSError as error:
            raise TargetError(
                f"the library does not load here ({error}); build for the target host to measure with --on local"
            ) from None
        if not feed:
            generator = np.random.default_rng(0)
            feed.update({spec.name: generator.random(spec.shape).astype(spec.dtype) for spec in model.inputs})
        return lambda: model.run(feed)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
    if not feed:
        generator = np.random.default_rng(0)
        kinds = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"}
        for item in session.get_inputs():
            dtype = kinds.get(item.type, item.type.removeprefix("tensor(").removesuffix(")"))
            feed[item.name] = generator.random(tuple(item.shape)).astype(dtype)
    return lambda: session.run(None, feed)
