"""The C coder by ctypes: the bytes of :mod:`edgepress.coding`, at hundreds of millions of values a second.

Memory for tables and scratch is made here once and kept; a coder serves one thread at a time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.coding.context import Context, Tap
from edgepress.coding.table import Table
from edgepress.errors import BundleError, DataError

Array = np.ndarray[Any, Any]

_BYTES_A_VALUE, _HEAD = 5, 20


class _Table(ctypes.Structure):
    """ep_code_table_t."""

    _fields_ = (
        ("write", ctypes.c_void_p), ("read", ctypes.c_void_p), ("owner", ctypes.c_void_p),
        ("low", ctypes.c_int32), ("symbols", ctypes.c_uint16), ("bits", ctypes.c_uint16),
    )  # fmt: skip


class _Run(ctypes.Structure):
    """ep_code_run."""

    _fields_ = (("table", ctypes.c_void_p), ("values", ctypes.c_void_p), ("count", ctypes.c_uint64))


class _Tap(ctypes.Structure):
    """ep_tap."""

    _fields_ = (
        ("channel", ctypes.c_uint16), ("row", ctypes.c_int8), ("column", ctypes.c_int8), ("weight", ctypes.c_int16),
    )  # fmt: skip


class _Context(ctypes.Structure):
    """ep_context."""

    _fields_ = (
        ("channels", ctypes.c_uint32), ("table_count", ctypes.c_uint32), ("taps", ctypes.c_void_p),
        ("value_at", ctypes.c_void_p), ("error_at", ctypes.c_void_p), ("offsets", ctypes.c_void_p),
        ("levels", ctypes.c_void_p), ("order", ctypes.c_void_p), ("tables", ctypes.c_void_p),
    )  # fmt: skip


class NativeCoder:
    """Encodes and decodes chunks by the functions of a library that ``ep_code.c`` and ``ep_context.c`` are in.

    Args:
        library: for this machine.
        model: a context, or one table for each channel.

    Raises:
        BundleError: the library is none or has no coder, or the model is more than the C code takes.
    """

    def __init__(self, library: Path, model: Context | Sequence[Table]) -> None:
        try:
            self._library = ctypes.CDLL(str(library))
            self._declare()
        except (OSError, AttributeError) as error:
            raise BundleError(
                f"{library.name} has no coder for this machine ({error}); build it again"
            ) from None
        context = model if isinstance(model, Context) else None
        tables = model.tables if isinstance(model, Context) else tuple(model)
        self._kept: list[Any] = []
        self._tables = self._made_tables(tables)
        self._context = self._made_context(context) if context is not None else None
        self.channels = context.channels if context is not None else len(tables)
        self._scratch = np.zeros(0, np.uint64)

    def encode(self, values: Array) -> bytes:
        """The body of int16 ``[channels, rows, columns]``.

        Raises:
            ValueError: there are other channels, or a value is too large to be predicted.
        """
        values = np.ascontiguousarray(values, np.int16)
        if values.ndim != 3 or len(values) != self.channels:
            raise ValueError(f"values of shape {values.shape} for {self.channels} channels")
        out = np.empty(_HEAD + _BYTES_A_VALUE * values.size, np.uint8)
        rows, columns = values.shape[1:]
        if self._context is None:
            runs = self._runs(values)
            length = self._library.ep_code_encode(runs, len(runs), out.ctypes.data, out.nbytes)
        else:
            scratch = self._space(self._context, rows, columns)
            length = self._library.ep_context_encode(
                ctypes.byref(self._context), values.ctypes.data, rows, columns, scratch.ctypes.data,
                scratch.nbytes, out.ctypes.data, out.nbytes,
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
        if self._context is None:
            runs = self._runs(values)
            right = self._library.ep_code_decode(runs, len(runs), body, len(body))
        else:
            scratch = self._space(self._context, rows, columns)
            right = self._library.ep_context_decode(
                ctypes.byref(self._context), values.ctypes.data, rows, columns, scratch.ctypes.data,
                scratch.nbytes, body, len(body),
            )  # fmt: skip
        if not right:
            raise DataError("a chunk is damaged; get the stream again")
        return values

    def _declare(self) -> None:
        u32, u64, pointer = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_void_p
        code, data = self._library, ctypes.c_char_p
        code.ep_code_table_bytes.argtypes, code.ep_code_table_bytes.restype = (u32, u32), u64
        code.ep_code_table.argtypes = (pointer, ctypes.c_int32, u32, pointer, u32, pointer, u64)
        code.ep_code_encode.argtypes, code.ep_code_encode.restype = (
            (pointer, u32, pointer, u64),
            ctypes.c_int64,
        )
        code.ep_code_decode.argtypes = (pointer, u32, data, u64)
        code.ep_context_is_sound.argtypes = (pointer,)
        code.ep_context_scratch.argtypes, code.ep_context_scratch.restype = (pointer, u32, u32), u64
        code.ep_context_encode.argtypes = (pointer, pointer, u32, u32, pointer, u64, pointer, u64)
        code.ep_context_encode.restype = ctypes.c_int64
        code.ep_context_decode.argtypes = (pointer, pointer, u32, u32, pointer, u64, data, u64)

    def _made_tables(self, tables: Sequence[Table]) -> Any:
        made = (_Table * len(tables))()
        for place, table in zip(made, tables, strict=True):
            size = self._library.ep_code_table_bytes(table.symbols, table.bits)
            memory, frequencies = np.zeros(-(-size // 4), np.uint32), np.ascontiguousarray(table.frequencies)
            right = self._library.ep_code_table(
                ctypes.byref(place), table.low, table.bits, frequencies.ctypes.data, table.symbols,
                memory.ctypes.data, memory.nbytes,
            )  # fmt: skip
            if not right:
                raise BundleError("the coder does not take a table; build the codec again")
            self._kept.append(memory)
        return made

    def _made_context(self, context: Context) -> _Context:
        taps: list[Tap] = []
        first: list[list[int]] = [[], []]
        sums = (*context.first, *context.rest)
        for each in sums:
            for place, some in zip(first, (each.values, each.errors), strict=True):
                place.append(len(taps))
                taps += some
        rows = (_Tap * max(1, len(taps)))(
            *[_Tap(tap.channel, tap.row, tap.column, tap.weight) for tap in taps]
        )
        arrays = [
            np.array([*first[0], len(taps)], np.uint32), np.array(first[1], np.uint32),
            np.array([each.offset for each in sums], np.int32), np.array(context.levels, np.int32), np.array(context.order, np.uint32),
        ]  # fmt: skip
        self._kept += [rows, arrays]
        made = _Context(
            context.channels, len(context.tables), ctypes.addressof(rows), *[each.ctypes.data for each in arrays],
            ctypes.addressof(self._tables),
        )  # fmt: skip
        if not self._library.ep_context_is_sound(ctypes.byref(made)):
            raise BundleError("the coder does not take such predictions; build the codec again")
        return made

    def _runs(self, values: Array) -> Any:
        planes = values.reshape(self.channels, -1)
        runs = (_Run * self.channels)()
        for number, (run, plane) in enumerate(zip(runs, planes, strict=True)):
            run.table = ctypes.addressof(self._tables) + number * ctypes.sizeof(_Table)
            run.values, run.count = plane.ctypes.data, plane.size
        return runs

    def _space(self, context: _Context, rows: int, columns: int) -> Array:
        size = int(self._library.ep_context_scratch(ctypes.byref(context), rows, columns))
        if self._scratch.nbytes < size:
            self._scratch = np.zeros(-(-size // 8), np.uint64)
        return self._scratch
