"""OpenVINO on the same graph, on preset tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import Task, package_version

SOURCES = ()


def version() -> str:
    """OpenVINO's."""
    return package_version("openvino")


def convert(task: Task, folder: Path) -> None:
    """Nothing: it reads ONNX."""


def load(task: Task, folder: Path) -> Running:
    """One stream for latency, and no smaller floats than asked for."""
    import openvino as ov
    from openvino._pyopenvino import InferRequest

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": task.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = ov.Core().compile_model(str(task.model), "CPU", options)
    kinds = _weighted(compiled)
    integer = sum(kind in ("i8", "u8") for kind in kinds)
    request = compiled.create_infer_request()
    inputs = {}
    for spec in task.inputs:
        inputs[spec.name] = np.zeros(spec.shape, spec.dtype)
        request.set_tensor(spec.name, ov.Tensor(inputs[spec.name], shared_memory=True))

    def feed(given: Mapping[str, Array]) -> None:
        for name, array in inputs.items():
            np.copyto(array, given[name])

    def read() -> dict[str, Array]:
        return {spec.name: np.array(request.get_tensor(spec.name).data) for spec in task.outputs}

    run = InferRequest.infer  # below the wrapper that makes Python's arrays
    return Running(
        feed,
        lambda: run(request, {}, share_outputs=True, decode_strings=False),
        read,
        precision_of(integer, len(kinds)),
        int(compiled.get_property("INFERENCE_NUM_THREADS")),
    )


def _weighted(compiled: Any) -> list[str]:
    """The run-time precision of each layer with weights."""
    found = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        about = node.get_rt_info()
        kind = str(about["layerType"].astype(str)) if "layerType" in about else ""
        if kind in ("Convolution", "FullyConnected"):
            found.append(str(about["runtimePrecision"].astype(str)))
    return found
