"""ONNX Runtime as a compiler: its optimised graph, saved for the target's own ONNX Runtime."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime

from edgepress.errors import CompileError
from edgepress.graph.limits import opset_of
from edgepress.graph.metadata import strip_metadata
from edgepress.runtimes.ort import SIGNED
from edgepress.targets.description import Target

_ARM = ("aarch64", "arm")


def compile_graph(model: onnx.ModelProto, target: Target) -> onnx.ModelProto:
    """Optimise a graph for the target's ONNX Runtime.

    For this machine every optimisation is applied. For another one only those up to the extended level: the
    full level bakes in this machine's memory layouts. Signed integers are taken as the target's own ONNX
    Runtime would take them.

    Raises:
        CompileError: ONNX Runtime does not take the graph, or its result is newer than the target reads.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry(SIGNED, "1" if target.cpu.arch in _ARM else "0")
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        level.ORT_ENABLE_ALL if target.kind == "host" else level.ORT_ENABLE_EXTENDED
    )
    with tempfile.TemporaryDirectory(prefix="edgepress-ort-") as folder:
        path = Path(folder) / "graph.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            optimised = strip_metadata(onnx.load(path))
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but Exception
            cause = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise CompileError(
                f"ONNX Runtime does not take the graph: {cause}; press it with another method"
            ) from None
    limits = target.runtime
    if optimised.ir_version > limits.max_ir or opset_of(optimised) > limits.max_opset:
        raise CompileError(
            f"the optimised graph has IR {optimised.ir_version} and opset {opset_of(optimised)}; "
            f"{target.name} reads up to {limits.max_ir} and {limits.max_opset}: leave the engine ort out"
        )
    return optimised
