"""A graph loaded by an engine, inputs and outputs bound, so that a call computes and does nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgepress.runtimes.native import NativeModel, aligned
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.description import Cache

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Loaded:
    """One layer ready to run: the call, what it gave, and the bytes of its weights."""

    run: Callable[[], object]
    read: Callable[[], Array]
    weight_bytes: int = 0


def native(model: onnx.ModelProto, x: Array, board: str, cache: int | None = None) -> Loaded:
    """Compiled by edgepress; the weights are mapped from their file, as a bundle's are.

    Args:
        model: with one input ``x`` and one output ``y``.
        x: the input.
        board: a target that this machine runs.
        cache: bytes that the last cache is taken to hold, which decides how ternary weights are packed.
    """
    target = load_target(board)
    if cache is not None:
        target = replace(target, cpu=replace(target.cpu, cache=Cache(l3=cache)))
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
    zeros = np.zeros(session.get_outputs()[0].shape, np.float32)
    result = onnxruntime.OrtValue.ortvalue_from_numpy(zeros)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", value)
    binding.bind_ortvalue_output("y", result)
    call, inner = session._sess.run_with_iobinding, binding._iobinding

    def run(kept: tuple[Any, ...] = (session, binding, value, result, x, zeros)) -> object:
        """The default argument keeps what the binding points at alive."""
        return call(inner, None)

    return Loaded(run, lambda: np.array(result.numpy()))
