"""This engine: kernels compiled ahead of time, called in C on preset buffers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgepress.runtimes.native import NativeModel, aligned
from edgepress.version import __version__
from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.running import Running
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

    host = load_target("host")
    made = compile_graph(onnx.load(task.model), host, folder)
    link([made.kernels, made.model], host, folder / "lib", executable=False)


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

    return Running(feed, model.bind(inputs, outputs), lambda: dict(outputs), task.precision, task.threads)
