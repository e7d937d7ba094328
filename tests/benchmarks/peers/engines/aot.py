"""This engine: kernels compiled ahead of time, called in C on preset buffers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgepress.runtimes.native import NativeModel, aligned
from edgepress.version import __version__
from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import ROOT, Task, package_version

SOURCES = tuple((ROOT / "targets").rglob("*.py")) + tuple((ROOT / "runtimes" / "c").glob("ep_*"))


def version() -> str:
    """What is measured, and the compiler behind it."""
    return f"{__version__} (TVM {package_version('apache-tvm')}, zig {package_version('ziglang')})"


def convert(task: Task, folder: Path) -> None:
    """Compile the graph for this machine."""
    import onnx

    from edgepress.targets import load_target
    from edgepress.targets.compilers.link import link
    from edgepress.targets.compilers.tvm import compile_graph
    from edgepress.targets.compilers.tvm.prepare import prepare
    from edgepress.targets.compilers.tvm.qdq import integer_regions

    host, model = load_target("host"), onnx.load(task.model)
    made = compile_graph(model, host, folder)
    link([made.kernels, made.model], host, folder / "lib", executable=False)
    kinds = [node.op_type for node in integer_regions(prepare(model)).graph.node]
    integer = sum(kind in ("EpQConv", "EpQDense") for kind in kinds)
    facts = {"integer": integer, "weighted": integer + sum(kind in ("Conv", "Gemm") for kind in kinds)}
    (folder / "facts.json").write_text(json.dumps(facts) + "\n", "utf-8")


def load(task: Task, folder: Path) -> Running:
    """Load the library; inputs and outputs stay where they are."""
    library = next((folder / "lib").glob("libmodel.*[!a]"))
    model = NativeModel(library, (folder / "weights.bin").read_bytes(), threads=task.threads)
    inputs: dict[str, Array] = {
        spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in model.inputs
    }
    outputs: dict[str, Array] = {
        spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in model.outputs
    }

    def feed(given: Mapping[str, Array]) -> None:
        for name, array in inputs.items():
            np.copyto(array, given[name])

    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    precision = precision_of(facts["integer"], facts["weighted"])
    return Running(feed, model.bind(inputs, outputs), lambda: dict(outputs), precision, task.threads)
