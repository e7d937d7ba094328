"""ONNX Runtime on the same graph, by io binding."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import Task, package_version

SOURCES = ()


def version() -> str:
    """ONNX Runtime's."""
    return package_version("onnxruntime")


def convert(task: Task, folder: Path) -> None:
    """Nothing: it reads ONNX."""


def load(task: Task, folder: Path) -> Running:
    """A session whose inputs and outputs are bound once."""
    import onnx
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as scratch:
        options.optimized_model_filepath = f"{scratch}/optimised.onnx"
        session = ort.InferenceSession(str(task.model), options, providers=["CPUExecutionProvider"])
        optimised = onnx.load(options.optimized_model_filepath, load_external_data=False)
    kinds = Counter(node.op_type for node in optimised.graph.node)
    integer = sum(kinds[kind] for kind in ("QLinearConv", "QGemm"))
    plain = sum(kinds[kind] for kind in ("Conv", "FusedConv", "Gemm", "FusedGemm"))
    binding = session.io_binding()
    values = {}
    for spec in task.inputs:
        values[spec.name] = ort.OrtValue.ortvalue_from_numpy(np.zeros(spec.shape, spec.dtype))
        binding.bind_ortvalue_input(spec.name, values[spec.name])
    results = {}
    for spec in task.outputs:
        results[spec.name] = ort.OrtValue.ortvalue_from_numpy(np.zeros(spec.shape, spec.dtype))
        binding.bind_ortvalue_output(spec.name, results[spec.name])

    def feed(given: Mapping[str, Array]) -> None:
        for name, value in values.items():
            value.update_inplace(given[name])

    def read() -> dict[str, Array]:
        return {name: value.numpy() for name, value in results.items()}

    run = session._sess.run_with_iobinding  # what the method of the same name calls
    inner = binding._iobinding
    return Running(feed, lambda: run(inner, None), read, precision_of(integer, integer + plain), task.threads)
