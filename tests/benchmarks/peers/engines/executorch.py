"""ExecuTorch with XNNPACK, from the torch module; int8 by its own XNNPACK quantiser, not the same model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.peers.inputs import Array, example_set
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import Task, package_version

SOURCES = (Path(__file__).parents[1] / "networks.py",)
_CALIBRATION = 16


def version() -> str:
    """ExecuTorch's."""
    return package_version("executorch")


def convert(task: Task, folder: Path) -> None:
    """Export the module, quantise it where asked, and hand all that XNNPACK takes to it."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from tests.benchmarks.peers.networks import network

    made = network(task.network, task.size, task.width)
    module = made.module()

    def tensors(index: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.from_numpy(array) for array in example_set(made.inputs, index).values())

    with torch.no_grad():
        program = torch.export.export(module, tensors(0), strict=False)
        if task.precision == "int8":
            program = torch.export.export(_quantised(program.module(), tensors), tensors(0), strict=False)
    integer, weighted = _weighted(program.graph)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    (folder / "model.pte").write_bytes(lowered.buffer)
    plan = lowered.executorch_program.execution_plan[0]
    facts = {"integer": integer, "weighted": weighted, "delegates": len(plan.delegates),
             "left": sorted({entry.name for entry in plan.operators})}  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def _quantised(module: Any, tensors: Any) -> Any:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantiser = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantiser)
    for index in range(_CALIBRATION):
        prepared(*tensors(2000 + index))
    return convert_pt2e(prepared)


def _weighted(graph: Any) -> tuple[int, int]:
    """How many layers with weights read dequantised integers, and how many there are."""
    layers = [node for node in graph.nodes if any(word in str(node.target) for word in ("conv2d", "linear"))]
    return sum("dequantize" in str(node.args[0].target) for node in layers), len(layers)


def load(task: Task, folder: Path) -> Running:
    """A method whose inputs are set beforehand; the pool of threads is the process's."""
    import torch
    from executorch.extension.pybindings import portable_lib

    facts = json.loads((folder / "facts.json").read_text("utf-8"))
    portable_lib._unsafe_reset_threadpool(task.threads)
    method = portable_lib._load_program(str(folder / "model.pte")).load_method("forward")
    inputs = {spec.name: torch.zeros(spec.shape) for spec in task.inputs}

    def feed(given: Mapping[str, Array]) -> None:
        for name, tensor in inputs.items():
            tensor.copy_(torch.from_numpy(given[name]))
        method.set_inputs(list(inputs.values()))

    def read() -> dict[str, Array]:
        found = method.get_outputs()
        return {spec.name: array.numpy() for spec, array in zip(task.outputs, found, strict=True)}

    note = f"{facts['delegates']} part(s) in XNNPACK, {len(facts['left'])} operator(s) outside"
    return Running(
        feed, method.execute, read, precision_of(facts["integer"], facts["weighted"]),
        portable_lib._threadpool_get_thread_count(), note, task.precision == "int8",
    )  # fmt: skip
