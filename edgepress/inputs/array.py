"""Arrays: .npy files, taken as they are."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.inputs.npy import UNREADABLE, not_npy, read_header
from edgepress.tensor import TensorSpec


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
                read_header(io.BytesIO(data))
                array = np.load(io.BytesIO(data), allow_pickle=False)
        except UNREADABLE as error:
            raise not_npy(name, error) from None
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
