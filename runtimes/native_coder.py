"""The C coder by ctypes: the bytes of :mod:`edgepress.coding`, at hundreds of millions of values a second.

Memory for the model and the scratch is made here once and kept; a coder serves one thread at a time.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.coding.coder import Coding, channels_of
from edgepress.coding.frozen import write_codings
from edgepress.errors import BundleError, DataError

Array = np.ndarray[Any, Any]


class NativeCoder:
    """Encodes and decodes chunks by the functions of a library that ``ep_coding.c`` is in.

    Args:
        library: for this machine.
        coding: the model.

    Raises:
        BundleError: the library is none or has no coder, or the model is more than the C code takes.
    """

    def __init__(self, library: Path, coding: Coding) -> None:
        self.channels = channels_of(coding)
        try:
            self._library = ctypes.CDLL(str(library))
            _declare(self._library)
        except (OSError, AttributeError) as error:
            raise BundleError(
                f"{library.name} has no coder for this machine ({error}); build it again"
            ) from None
        model = write_codings([coding])
        self._memory = np.zeros(-(-self._library.ep_coding_bytes(model, len(model), 0) // 8), np.uint64)
        self._coding = self._library.ep_coding_open(
            model, len(model), 0, self._memory.ctypes.data, self._memory.nbytes
        )
        if not self._coding:
            raise BundleError("the coder does not take such a model; build the codec again")
        self._scratch = np.zeros(0, np.uint64)

    def encode(self, values: Array) -> bytes:
        """The body of int16 ``[channels, rows, columns]``.

        Raises:
            ValueError: there are other channels, or a value is too large to be predicted.
        """
        values = np.ascontiguousarray(values, np.int16)
        if values.ndim != 3 or len(values) != self.channels:
            raise ValueError(f"values of shape {values.shape} for {self.channels} channels")
        out = np.empty(self._library.ep_coding_most_bytes(values.size), np.uint8)
        rows, columns = values.shape[1:]
        scratch = self._space(rows, columns)
        length = self._library.ep_coding_encode(
            self._coding, values.ctypes.data, rows, columns, scratch.ctypes.data, scratch.nbytes, out.ctypes.data,
            out.nbytes,
        )  # fmt: skip
        if length < 0:
            raise ValueError("a value is too large to be predicted")
        return out[:length].tobytes()

    def decode(self, body: bytes, rows: int, columns: int) -> Array:
        """The values of a body, int16 ``[channels, rows, columns]``.

        Raises:
            DataError: the body is no such chunk's.
        """
        values = np.empty((self.channels, rows, columns), np.int16)
        scratch = self._space(rows, columns)
        right = self._library.ep_coding_decode(
            self._coding,
            values.ctypes.data,
            rows,
            columns,
            scratch.ctypes.data,
            scratch.nbytes,
            body,
            len(body),
        )
        if not right:
            raise DataError("a chunk is damaged; get the stream again")
        return values

    def _space(self, rows: int, columns: int) -> Array:
        size = int(self._library.ep_coding_scratch(self._coding, rows, columns))
        if self._scratch.nbytes < size:
            self._scratch = np.zeros(-(-size // 8), np.uint64)
        return self._scratch


def _declare(library: ctypes.CDLL) -> None:
    u32, u64, pointer, data = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_char_p
    chunk = (pointer, pointer, u32, u32, pointer, u64)
    for name, arguments, result in (
        ("bytes", (data, u64, u32), u64),
        ("open", (data, u64, u32, pointer, u64), pointer),
        ("scratch", (pointer, u32, u32), u64),
        ("most_bytes", (u64,), u64),
        ("encode", (*chunk, pointer, u64), ctypes.c_int64),
        ("decode", (*chunk, data, u64), ctypes.c_int32),
    ):
        function = getattr(library, f"ep_coding_{name}")
        function.argtypes, function.restype = arguments, result
