"""Is the pressed graph slower than the float one? Measured on this machine, or estimated for the board."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.build.steps import graph_specs, read_graph
from edgepress.cost import LayerCost
from edgepress.progress import Progress
from edgepress.targets import Target

_RUNS = 30


def compare_graphs(
    pressed: Path, plain: Path, target: Target, measured: bool, progress: Progress
) -> dict[str, Any]:
    """Compare two graphs of the same network.

    Returns:
        ``slower`` (whether the pressed one is), ``ratio`` (its time over the other's), ``origin``, ``sentence``.
    """
    if measured:
        ratio = _measured_ratio(pressed, plain, progress)
        sentence = (
            f"int8 takes {ratio:.2f} of the float network's time (measured here, ONNX Runtime, 1 thread)"
        )
        return {"slower": ratio > 1, "ratio": ratio, "origin": "measured", "sentence": sentence}
    from edgepress.hardware.estimate import compare

    comparison = compare(costs(pressed), costs(plain), target)
    if comparison.faster is None:
        reason = comparison.ratio.how
        return {
            "slower": False,
            "origin": "unavailable",
            "sentence": f"its speed is not known ({reason}); it is smaller, so it is kept",
        }
    ratio = float(comparison.ratio.value or 0.0)
    how = comparison.ratio.how
    sentence = f"int8 takes {ratio:.2f} of the float network's time on {target.name} (estimated: {how})"
    return {"slower": not comparison.faster, "ratio": ratio, "origin": "estimated", "sentence": sentence}


def costs(graph: Path) -> list[LayerCost]:
    """What each layer of a stored graph costs."""
    from edgepress.graph.cost import count

    return count(read_graph(graph))


def _measured_ratio(pressed: Path, plain: Path, progress: Progress) -> float:
    """The median over pairs of runs, taken in turn so that a change of clock hits both alike."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    sessions = [
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for path in (pressed, plain)
    ]
    generator = np.random.default_rng(0)
    inputs, _ = graph_specs(read_graph(plain))
    feed = {spec.name: generator.random(spec.shape).astype(spec.dtype) for spec in inputs}
    ratios = []
    for run in range(_RUNS + 3):
        seconds = []
        for session in sessions:
            start = time.perf_counter()
            session.run(None, feed)
            seconds.append(time.perf_counter() - start)
        if run >= 3:  # the first runs warm up
            ratios.append(seconds[0] / seconds[1])
        progress(run + 1, _RUNS + 3, "timing")
    return float(np.median(ratios))
