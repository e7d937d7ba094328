"""Text: UTF-8 bytes as token numbers, for networks that read bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.tensor import TensorSpec


@dataclass(frozen=True)
class TextInput:
    """Each UTF-8 byte ``b`` becomes the token ``b + offset``, cut or padded to the tensor's last axis.

    Attributes:
        offset: what is added to a byte.
        pad: the token that fills the end.
    """

    kind: Literal["text"] = "text"
    offset: int = 0
    pad: int = 0

    def from_bytes(self, data: bytes, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Turn UTF-8 text into tokens.

        Raises:
            DataError: the bytes are not UTF-8.
        """
        try:
            data.decode()
        except UnicodeDecodeError:
            raise DataError(f"{name} is not UTF-8 text; convert it first") from None
        tokens = np.frombuffer(data, np.uint8).astype(np.int64)[: tensor.elements] + self.offset
        padded = np.full(tensor.elements, self.pad, np.int64)
        padded[: len(tokens)] = tokens
        return padded.reshape(tensor.shape).astype(tensor.dtype)

    def from_array(self, array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Take token numbers as they are.

        Raises:
            DataError: the array is not of whole numbers, or is too long.
        """
        if not np.issubdtype(array.dtype, np.integer) or array.size > tensor.elements:
            raise DataError(
                f"tokens must be at most {tensor.elements} whole numbers, not {array.dtype} {array.shape}"
            )
        padded = np.full(tensor.elements, self.pad, np.int64)
        padded[: array.size] = array.reshape(-1)
        return padded.reshape(tensor.shape)
