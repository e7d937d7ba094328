"""A graph loaded by an engine, inputs and outputs bound, so that a call computes and does nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgepress.runtimes.native import NativeModel, aligned
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Loaded:
    """One layer ready to run: the call, what it gave, and the bytes of its weights."""

    run: Callable[[], object]
    read: Callable[[], Array]
    weight_bytes: int = 0


def native(model: onnx.ModelProto, x: Array, board: str) -> Loaded:
    """Compiled by edgepress; the weights are mapped from their file, as a bundle's are."""
    target = load_target(board)
    with tempfile.TemporaryDirectory() as folder:
        made = compile_graph(model, target, Path(folder))
        linked = link([made.kernels, made.model], target, Path(folder) / "lib", executable=False)
        assert linked.shared is not None
        weights = np.memmap(made.weights, np.uint8, "r")
        loaded = NativeModel(linked.shared, weights)
    given = {spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in loaded.inputs}
    results = {spec.name: aligned(spec.bytes).view(spec.dtype).reshape(spec.shape) for spec in loaded.outputs}
    np.copyto(given["x"], x)
    return Loaded(loaded.bind(given, results), lambda: results["y"].copy(), made.weights_bytes)


def ort(model: onnx.ModelProto, x: Array) -> Loaded:
    """ONNX Runtime on one thread, by io binding."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    value = onnxruntime.OrtValue.ortvalue_from_numpy(x)
    result = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(session.get_outputs()[0].shape, np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_ortvalue_output("y", result)
    kept = (session, binding, value, result)
    run, inner = session._sess.run_with_iobinding, binding._iobinding
    return Loaded(lambda: run(inner, None), lambda: kept[-1].numpy())
