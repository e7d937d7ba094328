"""Know the element type and the shape of every tensor."""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.errors import SourceError
from edgepress.graph.index import copy_of


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write the types and shapes of all tensors into the graph, forgetting those that stood there.

    Raises:
        SourceError: types or shapes contradict each other.
    """
    new = copy_of(model)
    del new.graph.value_info[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(new, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises several types, some of them bare C++ errors
        raise SourceError(f"the graph's shapes contradict each other: {_first_line(error)}") from None
    return inferred


def along_last_axis(value: np.ndarray, extent: int, rank: int) -> bool:
    """Whether a constant has one number, or one for each place of a tensor's last axis, and adds no axis to it.

    Args:
        value: the constant, which is broadcast; a column ``[n, 1]`` has a number for each row.
        extent, rank: of the tensor's last axis, and how many axes it has.
    """
    return value.ndim <= rank and (value.size == 1 or value.shape[-1] == value.size == extent)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
