"""Run a graph of a bundle through ONNX Runtime, its weights mapped from the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from edgepress.bundle import Bundle, Graph
from edgepress.errors import BundleError, EdgepressError
from edgepress.runtimes.engine import Arrays

SIGNED = "session.qdqisint8allowed"
"""The key of a session's configuration: whether operators between signed activations become integer ones.

By default that is so on Arm. On x86 ONNX Runtime makes them unsigned where one operator reads them, and
leaves the others, such as the two sides of a residual, to float: faster there than signed integers, and
not quite the same numbers.
"""


class OrtEngine:
    """A graph in an ONNX Runtime session on the CPU.

    Args:
        bundle: the open bundle; it must stay open for as long as this engine is used.
        graph: which of its graphs.
        threads: intra-op threads; None leaves the choice to ONNX Runtime.
        profile: prefix of a trace file that ONNX Runtime writes, or empty.

    Raises:
        BundleError: ONNX Runtime does not take the graph.
    """

    def __init__(self, bundle: Bundle, graph: Graph, threads: int | None = None, profile: str = "") -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, and said once
        if threads is not None:
            options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        if profile:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        # The arrays must outlive the session: it reads the mapped bytes in place.
        self._stored = _stored_values(bundle, graph)
        if self._stored:
            values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in self._stored.values()]
            options.add_external_initializers(list(self._stored), values)
            self._values = values
        try:
            self._session = onnxruntime.InferenceSession(
                bytes(bundle.member(graph.member)), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no base class but Exception
            raise BundleError(
                f"ONNX Runtime {onnxruntime.__version__} does not take {graph.member} of {bundle.path}: "
                f"{_first_line(error)}"
            ) from None
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Arrays:
        """Run once; see :class:`edgepress.runtimes.engine.Engine`."""
        try:
            results = self._session.run(self._outputs, dict(inputs))
        except Exception as error:
            raise EdgepressError(f"ONNX Runtime could not run the graph: {_first_line(error)}") from None
        return {name: np.asarray(result) for name, result in zip(self._outputs, results, strict=True)}

    def end_profiling(self) -> str:
        """Close the trace; returns its path."""
        return str(self._session.end_profiling())


def _stored_values(bundle: Bundle, graph: Graph) -> dict[str, np.ndarray[Any, Any]]:
    if not graph.weights:
        return {}
    weights = bundle.member(graph.weights)
    arrays = {}
    for tensor in graph.tensors:
        try:
            flat = np.frombuffer(
                weights[tensor.offset : tensor.offset + tensor.length], np.dtype(tensor.dtype)
            )
            arrays[tensor.name] = flat.reshape(tensor.shape)
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"the tensor {tensor.name!r} of {bundle.path} does not fit its description ({error})"
            ) from None
    return arrays


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
