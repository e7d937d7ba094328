"""LiteRT with XNNPACK, on a flatbuffer written from the same graph: channels last, signed integers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.running import Running, precision_of
from tests.benchmarks.peers.task import Task, package_version

SOURCES = tuple(Path(__file__).parents[1] / name for name in ("tflite_model.py", "tflite_write.py"))
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def version() -> str:
    """LiteRT's."""
    return package_version("ai-edge-litert")


def convert(task: Task, folder: Path) -> None:
    """Write the TFLite form of the graph."""
    import onnx

    from tests.benchmarks.peers.tflite_write import write_tflite

    (folder / "model.tflite").write_bytes(write_tflite(onnx.load(task.model)))


def load(task: Task, folder: Path) -> Running:
    """An interpreter; XNNPACK takes what it can, as it does by default."""
    from ai_edge_litert.interpreter import Interpreter

    reader = Interpreter(str(folder / "model.tflite"), experimental_op_resolver_type=_plain())
    kinds = [
        reader._get_tensor_details(int(one["inputs"][0]), 0)["dtype"] is np.int8
        for one in reader._get_ops_details()
        if one["op_name"] in _WEIGHTED
    ]
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=task.threads)
    interpreter.allocate_tensors()
    left = [one["op_name"] for one in interpreter._get_ops_details()]
    entries = interpreter.get_input_details()
    places = {one["name"]: one["index"] for one in [*entries, *interpreter.get_output_details()]}

    def feed(given: Mapping[str, Array]) -> None:
        for spec in task.inputs:
            array = given[spec.name]
            view = interpreter.tensor(places[spec.name])()
            np.copyto(view, array.transpose(0, 2, 3, 1) if array.ndim == 4 else array)

    def read() -> dict[str, Array]:
        # In the model's order: LiteRT may give outputs other names.
        found = [np.array(interpreter.get_tensor(one["index"])) for one in interpreter.get_output_details()]
        return {spec.name: array.reshape(spec.shape) for spec, array in zip(task.outputs, found, strict=True)}

    delegated = left.count("DELEGATE")
    note = f"{delegated} part(s) in XNNPACK" if delegated else ""
    return Running(
        feed, interpreter._interpreter.Invoke, read, precision_of(sum(kinds), len(kinds)), task.threads, note
    )


def _plain() -> object:
    from ai_edge_litert.interpreter import OpResolverType

    return OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
