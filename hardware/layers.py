"""Time by layer: from ONNX Runtime's own trace, or through the layer hook of the CPU engine."""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.bundle import Bundle, Graph
from edgepress.bundle.layers import KernelLayer
from edgepress.errors import EdgepressError
from edgepress.hardware.hwbench import Peak
from edgepress.hardware.roofline import Roof, model_bytes, roof_of
from edgepress.records import encode
from edgepress.runtimes.engine import Arrays, Engine

_WARMUP = 3
_MADE_OF = re.compile(
    r"_token_\d+$|_nchwc$|/\w+Fusion/.*$"
)  # what ONNX Runtime's layout and fusing passes add


@dataclass(frozen=True)
class Layer:
    """One layer as the engine runs it (fused, where it fuses).

    Attributes:
        name, op: its name and its operator.
        ms: median milliseconds.
        share: its part of the sum over all layers, from 0 to 1.
        cost: what it computes and moves, where the bundle says so.
        roof: the least time that this machine could need for that, where its peaks are known.
    """

    name: str
    op: str
    ms: float
    share: float
    cost: KernelLayer | None = None
    roof: Roof | None = None

    @property
    def of_peak(self) -> float | None:
        """The share of the machine's peak that it reaches, where that is known."""
        return self.roof.share(self.ms) if self.roof is not None else None

    def to_json(self) -> dict[str, Any]:
        """JSON-ready data, without what is not known; the origin of the time is ``measured``."""
        cost = {} if self.cost is None else {**encode(self.cost), "intensity": self.cost.intensity}
        roof = {} if self.roof is None else {"roof_ms": self.roof.ms, "bound": self.roof.bound}
        share = {} if self.of_peak is None else {"share_of_peak": self.of_peak}
        time = {"name": self.name, "op": self.op, "ms": self.ms, "share": self.share, "origin": "measured"}
        return {**cost, **time, **roof, **share}


def with_costs(
    layers: Sequence[Layer], costs: Sequence[KernelLayer], peak: Peak | None, arena_bytes: int | None
) -> list[Layer]:
    """Layers with what each computes, found by its name, and its roof.

    ONNX Runtime names what it made of a node after the node, with more behind it.

    Args:
        costs: what the bundle says of the engine's layers.
        peak: what this machine does at most on as many threads as were used; None where nobody measured it.
        arena_bytes: what the engine's temporaries take, where known.
    """
    by_name = {cost.name: [cost] for cost in costs}
    for known in costs:
        for name in known.nodes:
            by_name.setdefault(name, []).append(known)
    whole = model_bytes(costs, arena_bytes)
    found = []
    for layer in layers:
        same = by_name.get(layer.name) or by_name.get(_MADE_OF.sub("", layer.name), [])
        # What was fused into another operator may have given it its name.
        fitting = (c for c in same if not layer.op or c.op.removeprefix("Depthwise") in layer.op)
        cost = next(fitting, None)
        roof = roof_of(cost, peak, whole) if cost is not None and peak is not None else None
        op = layer.op or (cost.op if cost is not None else "")
        found.append(dataclasses.replace(layer, op=op, cost=cost, roof=roof))
    return found


def native_layers(engine: Engine, inputs: Arrays, runs: int) -> list[Layer]:
    """Time the layers of the CPU engine, by the clock in its own library; empty for any other engine."""
    from edgepress.runtimes.native_engine import NativeEngine

    if not isinstance(engine, NativeEngine):
        return []
    seconds = engine.model.profile(inputs, _WARMUP + runs)[_WARMUP:]
    medians = np.median(seconds, axis=0) * 1e3
    return shares([(name, "", float(ms)) for name, ms in zip(engine.model.layers(), medians, strict=True)])


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
    return shares([(name, op, float(np.median(found))) for (_, name, op), found in times.items()])


def shares(rows: Sequence[tuple[str, str, float]]) -> list[Layer]:
    """Layers from names, operators and milliseconds, each with its share of the sum."""
    total = sum(milliseconds for _, _, milliseconds in rows)
    return [Layer(name, op, ms, ms / total if total else 0.0) for name, op, ms in rows]
