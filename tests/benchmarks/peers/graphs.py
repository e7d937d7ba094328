"""Export a network, quantise it, and keep what ONNX Runtime computes: once, then from the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from edgepress.exporters import export_module
from edgepress.graph.cost import count, total_macs
from edgepress.graph.tidy import tidy
from edgepress.methods import configure, find_method
from edgepress.progress import silent
from tests.benchmarks.peers.inputs import Array, example_set
from tests.benchmarks.peers.networks import Network
from tests.benchmarks.peers.task import ROOT, kept, package_version

CHECKED = 3  # input sets whose outputs are compared
_CALIBRATION = 16  # input sets, none of them among those that are run


def prepare(network: Network) -> Path:
    """The folder with the network's graphs and reference outputs.

    ``fp32.onnx``, ``int8.onnx`` (QDQ), ``fp32.npz`` and ``int8.npz`` (ONNX Runtime's outputs for the first
    sets), ``facts.json``.
    """
    folders = [ROOT / "edgepress" / "methods" / "int8", ROOT / "edgepress" / "graph"]
    sources = [file for folder in folders for file in folder.glob("*.py")]
    here = Path(__file__).parent
    sources += [here / "networks.py", here / "graphs.py", here / "inputs.py"]
    versions = [package_version(name) for name in ("torch", "onnx", "onnxruntime")]
    folder = kept(network.name, sources, network.inputs, versions)
    if (folder / "facts.json").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    exported = export_module(
        network.module(), network.inputs, max_opset=18, max_ir=10, output_names=network.outputs,
        example_inputs=example_set(network.inputs, 0),
    ).model  # fmt: skip
    plain = tidy(exported)
    calibration = [example_set(network.inputs, 2000 + i) for i in range(_CALIBRATION)]
    method = find_method("int8")
    config = configure(method, {"rounding": "nearest"})
    pressed = method.press(exported, calibration, config, "uint8", silent).graph
    facts: dict[str, Any] = {"inputs": _specs(plain.graph.input), "outputs": _specs(plain.graph.output)}
    costs = count(plain)
    facts["macs"] = total_macs(plain)
    facts["weight_bytes"] = {
        "fp32": sum(cost.weight_bytes for cost in costs),
        "int8": sum(cost.weight_bytes for cost in count(pressed)),
    }
    results = {}
    for precision, graph in (("fp32", plain), ("int8", pressed)):
        (folder / f"{precision}.onnx").write_bytes(graph.SerializeToString(deterministic=True))
        results[precision] = reference(graph, [example_set(network.inputs, i) for i in range(CHECKED)])
        write_arrays(folder / f"{precision}.npz", results[precision])
    facts["int8_sqnr_db"] = {
        spec["name"]: round(
            noise(results["fp32"][f"0/{spec['name']}"], results["int8"][f"0/{spec['name']}"]), 1
        )
        for spec in facts["outputs"]
    }
    facts["int8_steps"] = output_steps(pressed)
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return folder


def reference(graph: onnx.ModelProto, sets: list[dict[str, Array]]) -> dict[str, Array]:
    """ONNX Runtime's outputs, as ``<set>/<output>``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return {
        f"{i}/{name}": array
        for i, given in enumerate(sets)
        for name, array in zip(names, session.run(names, given), strict=True)
    }


def write_arrays(path: Path, arrays: dict[str, Array]) -> None:
    """Write arrays by name, as ``numpy.load`` reads them."""
    np.savez(path, allow_pickle=False, **arrays)


def noise(expected: Array, found: Array) -> float:
    """The ratio of the expected values' power to that of their differences, in decibels; at most 200."""
    power = float(np.mean(np.square(expected.astype(np.float64))))
    wrong = float(np.mean(np.square(expected.astype(np.float64) - found)))
    return min(200.0, 10 * float(np.log10(power / wrong))) if wrong > 0 and power > 0 else 200.0


def output_steps(graph: onnx.ModelProto) -> dict[str, float]:
    """The size of one step of each output that a DequantizeLinear gives."""
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.graph.initializer}
    outputs = {output.name for output in graph.graph.output}
    return {
        node.output[0]: float(constants[node.input[1]])
        for node in graph.graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] in outputs
    }


def _specs(infos: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": info.name,
            "shape": [int(extent.dim_value) for extent in info.type.tensor_type.shape.dim],
            "dtype": onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type).name,
        }
        for info in infos
    ]
