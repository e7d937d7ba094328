"""What a model's input is made from: a picture, a recording, an array or a text.

Each kind is a small record that travels in the bundle's manifest; the runtime applies it, so that
a bundle sees on the board what the network saw when it was trained.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgepress.errors import DataError
from edgepress.inputs.array import ArrayInput
from edgepress.inputs.audio import AudioInput
from edgepress.inputs.image import ImageInput
from edgepress.inputs.text import TextInput
from edgepress.tensor import TensorSpec

InputKind = ImageInput | AudioInput | ArrayInput | TextInput
Value = str | Path | bytes | bytearray | memoryview | np.ndarray[Any, Any] | BinaryIO

__all__ = [
    "ArrayInput",
    "AudioInput",
    "ImageInput",
    "InputKind",
    "TextInput",
    "Value",
    "prepare",
    "read_value",
]

_LARGEST_FILE = 1 << 30


def prepare(kind: InputKind, value: Value, tensor: TensorSpec) -> np.ndarray[Any, Any]:
    """Make the tensor that the graph takes.

    Args:
        kind: how it is made.
        value: a path, the bytes of a file, an open binary file, or an array.
            An array that already has the tensor's shape and type is taken as it is.
            Where the kind is text, a ``str`` is the text itself; a ``Path`` names a file.
        tensor: the graph's input.

    Returns:
        An array of ``tensor.shape`` and ``tensor.dtype``.

    Raises:
        DataError: the value is not of that kind, or does not fit.
    """
    if isinstance(value, np.ndarray):
        if value.shape == tensor.shape and value.dtype == tensor.dtype:
            return np.ascontiguousarray(value)
        made = kind.from_array(value, tensor)
    elif isinstance(kind, TextInput) and isinstance(value, str):
        made = kind.from_bytes(value.encode(), "the text", tensor)
    else:
        data, name = read_value(value)
        made = kind.from_bytes(data, name, tensor)
    if made.shape != tensor.shape:
        raise DataError(f"the input {tensor.name} has the shape {made.shape}; the model takes {tensor.shape}")
    return np.ascontiguousarray(made, dtype=tensor.dtype)


def read_value(value: str | Path | bytes | bytearray | memoryview | BinaryIO) -> tuple[bytes, str]:
    """The bytes of a file or of what holds them already, at most 1 GiB, and what to call them in messages.

    Raises:
        DataError: there is no such file, it may not be read or is too large, or the value is of another type.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), "the data"
    if isinstance(value, (str, Path)):
        path = Path(value)
        try:
            with path.open("rb") as file:  # a pipe tells no length, so the reading itself is bounded
                if os.fstat(file.fileno()).st_size > _LARGEST_FILE:
                    raise DataError(f"{path} is larger than 1 GiB; give a smaller file")
                data = file.read(_LARGEST_FILE + 1)
            if len(data) > _LARGEST_FILE:
                raise DataError(f"{path} is larger than 1 GiB; give a smaller file")
            return data, str(path)
        except FileNotFoundError:
            raise DataError(f"{path} does not exist; check the path") from None
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); check that it is a file you may read"
            ) from None
        except ValueError:  # a NUL in the name
            raise DataError(f"{str(path)!r} cannot be the name of a file; check the path") from None
    read = getattr(value, "read", None)
    if not callable(read):
        raise DataError(
            f"an input is made from a path, bytes, an open binary file or a NumPy array, "
            f"not from {type(value).__name__}; convert it first"
        )
    try:
        data = read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # such as a file that was closed
        raise DataError(f"the input cannot be read ({error}); give an open binary file") from None
    if not isinstance(data, bytes):
        raise DataError("the input is a file that was not opened as binary; open it with mode 'rb'")
    if len(data) > _LARGEST_FILE:
        raise DataError("the input is larger than 1 GiB; give a smaller file")
    return data, "the input"
