"""Is the pressed graph slower than the float one? Measured on this machine, or estimated for the board."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgepress.build.steps import graph_specs, read_graph
from edgepress.cost import LayerCost
from edgepress.progress import Progress
from edgepress.targets import Target

_RUNS = 30


def estimate_slower(pressed: Path, plain: Path, target: Target) -> tuple[bool, str]:
    """Whether the pressed graph is slower on the target, by a labelled estimate, and the sentence that says so."""
    from edgepress.hardware.estimate import compare

    comparison = compare(costs(pressed), costs(plain), target)
    how = comparison.ratio.how
    if comparison.faster is None:
        return False, f"its speed is not known ({how}); it is smaller, so it is kept"
    ratio = float(comparison.ratio.value or 0.0)
    sentence = f"int8 takes {ratio:.2f} of the float network's time on {target.name} (estimated: {how})"
    return not comparison.faster, sentence


def costs(graph: Path) -> list[LayerCost]:
    """What each layer of a stored graph costs."""
    from edgepress.graph.cost import count

    return count(read_graph(graph))


def measured_ratio(pressed: Path, plain: Path, progress: Progress) -> float:
    """The pressed graph's time over the float one's on this machine: the median over pairs of runs in turn."""
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
