"""Text: UTF-8 bytes as token numbers, for networks that read bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.tensor import TensorSpec

_LIMITS = np.iinfo(np.int32)  # what the tokens of any network lie within


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

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            ValueError: a token would not fit in 32 bits.
        """
        if not _LIMITS.min <= self.pad <= _LIMITS.max:
            raise ValueError(f"pad must fit in 32 bits, which {self.pad} does not")
        if not _LIMITS.min <= self.offset <= _LIMITS.max - 255:
            raise ValueError(f"offset must fit in 32 bits together with a byte, which {self.offset} does not")

    def from_bytes(self, data: bytes, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Turn UTF-8 text into tokens.

        Raises:
            DataError: the bytes are not UTF-8, or a token does not fit the tensor's type.
        """
        try:
            data.decode()
        except UnicodeDecodeError:
            raise DataError(f"{name} is not UTF-8 text; convert it first") from None
        tokens = np.frombuffer(data, np.uint8).astype(np.int64)[: tensor.elements] + self.offset
        padded = np.full(tensor.elements, self.pad, np.int64)
        padded[: len(tokens)] = tokens
        return _typed(padded, tensor)

    def from_array(self, array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Take token numbers as they are.

        Raises:
            DataError: the array is not of whole numbers, is too long, or does not fit the tensor's type.
        """
        if not np.issubdtype(array.dtype, np.integer) or array.size > tensor.elements:
            raise DataError(
                f"tokens must be at most {tensor.elements} whole numbers, not {array.dtype} {array.shape}"
            )
        padded = np.full(tensor.elements, self.pad, np.int64)
        if array.size and int(array.max()) > np.iinfo(np.int64).max:
            raise DataError(f"the token {array.max()} does not fit the input {tensor.name} ({tensor.dtype})")
        padded[: array.size] = array.reshape(-1)
        return _typed(padded, tensor)


def _typed(tokens: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
    if np.issubdtype(tensor.dtype, np.integer) and tokens.size:
        limits = np.iinfo(tensor.dtype)
        for token in (int(tokens.min()), int(tokens.max())):
            if not limits.min <= token <= limits.max:
                raise DataError(f"the token {token} does not fit the input {tensor.name} ({tensor.dtype})")
    return tokens.reshape(tensor.shape).astype(tensor.dtype)
