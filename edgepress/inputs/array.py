"""Arrays: .npy files, taken as they are."""

from __future__ import annotations

import io
import tokenize
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.tensor import TensorSpec

# What NumPy lets through of its header's parser: TokenError and SyntaxError are no ValueErrors.
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    MemoryError,
    TypeError,
    RecursionError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class ArrayInput:
    """An array of the tensor's shape (axes of 1 may be left out); its type is cast where that loses nothing."""

    kind: Literal["array"] = "array"

    def from_bytes(self, data: bytes, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Read a ``.npy`` file; pickled objects are refused.

        Raises:
            DataError: the bytes are no such file.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote
                _check_length(data)
                array = np.load(io.BytesIO(data), allow_pickle=False)
        except _UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{name} is no .npy array ({reason}); save one with numpy.save") from None
        if not isinstance(array, np.ndarray):
            raise DataError(f"{name} is an .npz archive; save one array with numpy.save")
        return self.from_array(array, tensor)

    def from_array(self, array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Fit an array to the tensor.

        Raises:
            DataError: its shape or type does not fit.
        """
        if array.size != tensor.elements or tuple(d for d in array.shape if d != 1) != tuple(
            d for d in tensor.shape if d != 1
        ):
            raise DataError(f"the array {array.shape} does not fit the input {tensor.name} {tensor.shape}")
        if not np.can_cast(array.dtype, tensor.dtype, casting="same_kind"):
            raise DataError(f"the array holds {array.dtype}; the input {tensor.name} takes {tensor.dtype}")
        return array.reshape(tensor.shape).astype(tensor.dtype)


def _check_length(data: bytes) -> None:
    """Refuse a header that announces more elements than the file holds, before memory is taken for them."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    announced = dtype.itemsize
    for extent in shape:
        announced *= extent
    if announced > len(data) - stream.tell():
        raise ValueError("it is shorter than its header says")
