"""Time by layer: from ONNX Runtime's own trace, or through the layer hook of the CPU engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.bundle import Bundle, Graph
from edgepress.errors import EdgepressError
from edgepress.runtimes.engine import Arrays, Engine

_WARMUP = 3


@dataclass(frozen=True)
class Layer:
    """One layer as the engine runs it (fused, where it fuses): name, operator, median milliseconds.

    ``share`` is its part of the sum over all layers, from 0 to 1.
    """

    name: str
    op: str
    ms: float
    share: float


def native_layers(engine: Engine, inputs: Arrays, runs: int) -> list[Layer]:
    """Time the layers of the CPU engine, by the clock in its own library; empty for any other engine."""
    from edgepress.runtimes.native_engine import NativeEngine

    if not isinstance(engine, NativeEngine):
        return []
    seconds = engine.model.profile(inputs, _WARMUP + runs)[_WARMUP:]
    medians = np.median(seconds, axis=0) * 1e3
    return _shares([(name, "", float(ms)) for name, ms in zip(engine.model.layers(), medians, strict=True)])


def ort_layers(bundle: Bundle, graph: Graph, inputs: Arrays, runs: int, threads: int | None) -> list[Layer]:
    """Time the nodes of a graph with ONNX Runtime's trace; writing the trace costs some microseconds a node.

    Raises:
        BundleError: ONNX Runtime does not take the graph.
        EdgepressError: the trace is not in the form that this edgepress reads.
    """
    from edgepress.runtimes.ort import OrtEngine

    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        engine = OrtEngine(bundle, graph, threads, profile=str(Path(folder) / "trace"))
        for _ in range(_WARMUP + runs):
            engine.run(inputs)
        text = Path(engine.end_profiling()).read_text(encoding="utf-8", errors="replace")
    try:
        return read_trace(json.loads(text), _WARMUP)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgepressError(f"ONNX Runtime's trace cannot be read ({error}); leave --layers out") from None


def read_trace(events: Sequence[Mapping[str, Any]], skip: int) -> list[Layer]:
    """The layers in a trace of several runs.

    Args:
        events: the trace; a node's event ends in ``_kernel_time``, a run's is called ``model_run``.
        skip: how many runs at the beginning are left out.
    """
    times: dict[tuple[str, str, str], list[float]] = {}
    pending: list[tuple[tuple[str, str, str], float]] = []
    done = 0
    for event in events:
        name = event["name"]
        if event["cat"] == "Node" and name.endswith("_kernel_time"):
            facts = event["args"]
            which = (facts["node_index"], name.removesuffix("_kernel_time"), facts["op_name"])
            pending.append((which, event["dur"] / 1e3))
        elif name == "model_run":
            if done >= skip:
                for which, milliseconds in pending:
                    times.setdefault(which, []).append(milliseconds)
            pending = []
            done += 1
    return _shares([(name, op, float(np.median(found))) for (_, name, op), found in times.items()])


def _shares(rows: Sequence[tuple[str, str, float]]) -> list[Layer]:
    total = sum(milliseconds for _, _, milliseconds in rows)
    return [Layer(name, op, ms, ms / total if total else 0.0) for name, op, ms in rows]
