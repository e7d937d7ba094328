"""ONNX Runtime as the reference: what a graph gives, and whether another gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from edgepress.errors import CheckError, SourceError
from edgepress.metrics.difference import magnitude, worst_difference
from edgepress.runtimes.ort import SIGNED
from edgepress.samples import Feed

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4


def run_graph(graph: Path | bytes, feeds: Sequence[Feed]) -> list[Feed]:
    """Run a graph with ONNX Runtime's default optimisations, what is quantised in integers on any machine.

    Raises:
        SourceError: ONNX Runtime does not take the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry(SIGNED, "1")
    try:
        session = onnxruntime.InferenceSession(
            str(graph) if isinstance(graph, Path) else graph, options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        takes = {item.name for item in session.get_inputs()}
        return [
            dict(zip(names, session.run(names, {k: v for k, v in feed.items() if k in takes}), strict=True))
            for feed in feeds
        ]
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        cause = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise SourceError(f"ONNX Runtime does not run the graph: {cause}") from None


def compare_models(original: onnx.ModelProto, graph: onnx.ModelProto) -> dict[str, float]:
    """Run two graphs on three sets of seeded inputs; they must agree to 1e-4 of the largest output.

    Raises:
        CheckError: they do not.
    """
    from edgepress.build.steps import graph_specs

    inputs, _ = graph_specs(original)
    generator = np.random.default_rng(0)
    feeds = [{spec.name: _random(spec.shape, spec.dtype, generator) for spec in inputs} for _ in range(3)]
    expected = run_graph(original.SerializeToString(), feeds)
    given = run_graph(graph.SerializeToString(), feeds)
    worst = max(
        worst_difference(a[name], b.get(name)) for a, b in zip(expected, given, strict=True) for name in a
    )
    scale = max(magnitude(array) for outputs in expected for array in outputs.values())
    if worst > TOLERANCE * scale:
        raise CheckError(
            f"the cleaned graph differs from the ONNX file by {worst:.3g}; report it, with the file"
        )
    return {"max_abs_error": worst, "scale": scale, "cases": 3, "tolerance": TOLERANCE}


def _random(shape: tuple[int, ...], dtype: str, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    if np.dtype(dtype).kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)
