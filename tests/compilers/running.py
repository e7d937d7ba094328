"""Compile a graph for this machine, run it through the C runtime, and run ONNX Runtime beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime

from edgepress.runtimes.native import NativeModel
from edgepress.runtimes.ort import SIGNED
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import AotKernels, compile_graph, parts
from edgepress.tensor import TensorSpec

Arrays = dict[str, np.ndarray[Any, Any]]


def random_inputs(specs: tuple[TensorSpec, ...], seed: int = 0) -> Arrays:
    """Normal numbers for floats, small whole numbers for the rest."""
    rng = np.random.default_rng(seed)
    made: Arrays = {}
    for spec in specs:
        if spec.dtype.startswith("float"):
            made[spec.name] = rng.standard_normal(spec.shape).astype(spec.dtype)
        else:
            made[spec.name] = rng.integers(0, 2 if spec.dtype == "bool" else 5, spec.shape).astype(spec.dtype)
    return made


def compiled(
    model: onnx.ModelProto, folder: Path, target: str = "host", threads: int = 1
) -> tuple[AotKernels, NativeModel]:
    """The kernels of a graph and the library made of them, loaded; the smallest kernel is divided too."""
    board = load_target(target)
    with mock.patch.object(parts, "WORTH", 1):
        kernels = compile_graph(model, board, folder)
    linked = link([kernels.model, kernels.kernels], board, folder / "lib", executable=False)
    assert linked.shared is not None
    return kernels, NativeModel(linked.shared, kernels.weights.read_bytes(), threads=threads)


def reference(model: onnx.ModelProto, inputs: Arrays, optimised: bool = True) -> Arrays:
    """What ONNX Runtime computes, with its graph optimisations (in integers, whatever their sign) or without."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(SIGNED, "1")
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def worst(found: Arrays, expected: Arrays) -> float:
    """The largest difference, relative to the larger of 1 and the expected output's largest value."""
    assert list(found) == list(expected)
    gap = 0.0
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert found[name].dtype == value.dtype
        if value.size:
            difference = np.abs(found[name].astype(np.float64) - value.astype(np.float64)).max()
            gap = max(gap, float(difference / max(1.0, np.abs(value.astype(np.float64)).max())))
    return gap
