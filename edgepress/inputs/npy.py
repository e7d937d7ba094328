"""``.npy`` files read in pieces, so that an array may be larger than memory; pickled objects never."""

from __future__ import annotations

import os
import tokenize
import warnings
from typing import Any, BinaryIO

import numpy as np

from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

MAGIC = b"\x93NUMPY"
# What NumPy lets through of its header's parser: TokenError and SyntaxError are no ValueErrors.
UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    SyntaxError,
    MemoryError,
    TypeError,
    RecursionError,
    tokenize.TokenError,
)


class NpyFile:
    """An array in an open file.

    Attributes:
        name: for messages.
        shape, dtype: of the array.

    Raises:
        DataError: the file is no such array, holds Python objects, or is shorter than its header says.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name, self._file = name, file
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of headers that Python 2 wrote
                self.shape, self._fortran, self.dtype = read_header(file)
        except UNREADABLE as error:
            raise not_npy(name, error) from None
        self._start = file.tell()

    def read(self, axis: int, first: int, end: int) -> Array:
        """The elements ``first`` to ``end - 1`` along one axis, and all along the others.

        Raises:
            DataError: the file cannot be read.
        """
        if self._fortran:  # the whole's elements lie apart; such files are rare
            return self._whole()[(slice(None),) * axis + (slice(first, end),)]
        shape = (*self.shape[:axis], end - first, *self.shape[axis + 1 :])
        found = np.empty(shape, self.dtype)
        outer = found.reshape(-1, *shape[axis:])
        below = int(np.prod(self.shape[axis + 1 :], dtype=np.int64)) * self.dtype.itemsize
        for number, part in enumerate(outer):
            self._into(part, (number * self.shape[axis] + first) * below)
        return found

    def _whole(self) -> Array:
        found = np.empty(self.shape[::-1], self.dtype)
        self._into(found, 0)
        return found.T

    def _into(self, array: Array, offset: int) -> None:
        try:
            self._file.seek(self._start + offset)
            count = self._file.readinto(array.data.cast("B"))  # type: ignore[attr-defined]
        except OSError as error:
            raise DataError(f"{self.name} cannot be read ({error.strerror or error})") from None
        if count != array.nbytes:
            raise DataError(f"{self.name} was cut short while it was read; give the whole file")


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """An array's shape, whether its first axis runs fastest, and its type.

    The file is left at the first element. It holds as many bytes as the header says: that is checked before
    memory is taken for them.

    Raises:
        ValueError: it is no such file, holds Python objects, or is too short; NumPy raises others of ``UNREADABLE``.
    """
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    announced = dtype.itemsize
    for extent in shape:
        announced *= extent
    place = file.tell()
    if announced > file.seek(0, os.SEEK_END) - place:
        raise ValueError("it is shorter than its header says")
    file.seek(place)
    return shape, fortran, dtype


def not_npy(name: str, error: Exception) -> DataError:
    """What is said of a file that cannot be read as an array."""
    return DataError(
        f"{name} is no .npy array ({' '.join(str(error).split())[:200]}); save one with numpy.save"
    )


def write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Begin a ``.npy`` file; its elements follow, the last axis fastest."""
    np.lib.format.write_array_header_2_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
