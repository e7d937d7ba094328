"""The ways in which a compiled network can be run on this machine, for checks of several networks together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from edgepress.build.reference import run_graph
from edgepress.build.steps import GRAPH
from edgepress.samples import Feed

Run = Callable[[Sequence[Feed]], list[Feed]]
Engines = Mapping[str, Sequence[tuple[str, Path, dict[str, Any]]]]
PORTABLE = "the portable graph"


def ways_of(graph: Path | bytes, engines: Sequence[tuple[str, Path, dict[str, Any]]]) -> dict[str, Run]:
    """What runs examples, by name: the portable graph, then each engine.

    Args:
        graph: the portable graph.
        engines: what runs here: name, folder, facts.
    """
    found: dict[str, Run] = {PORTABLE: partial(run_graph, graph)}
    return found | {name: _runner(name, folder, facts) for name, folder, facts in engines}


def _runner(engine: str, folder: Path, facts: dict[str, Any]) -> Run:
    if engine == "ort":
        return partial(run_graph, folder / GRAPH)

    def native(feeds: Sequence[Feed]) -> list[Feed]:
        from edgepress.runtimes.native import NativeModel

        model = NativeModel(folder / facts["files"]["library"], (folder / "weights.bin").read_bytes())
        return [model.run(feed) for feed in feeds]

    return native
