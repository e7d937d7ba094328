"""``ep_split.h`` by ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BAD_ARGUMENT, NO_ROOM = -1, -2
_BEHIND = 64  # bytes that are not to change


class Stream(ctypes.Structure):
    """ep_stream."""

    _fields_ = (
        ("identity", ctypes.c_uint8 * 16),
        *(
            (name, ctypes.c_uint32)
            for name in ("kind", "rate", "channels", "rows", "columns", "step", "sampling")
        ),
        ("rank", ctypes.c_uint32),
        ("shape", ctypes.c_uint32 * 4),
    )


class Table(ctypes.Structure):
    """ep_split_table."""

    _fields_ = (("data", ctypes.c_char_p), ("bytes", ctypes.c_uint64))


class SentSplit(ctypes.Structure):
    """ep_split."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("abi", "highest", "rate_count")),
        ("stream", Stream),
        ("steps", Table),
        ("models", ctypes.POINTER(Table)),
    )


def sent_split(
    identity: bytes, extents: Sequence[int], step: int, shape: Sequence[int], highest: int, steps: Array,
    models: Sequence[bytes],
) -> SentSplit:  # fmt: skip
    """What a device sends.

    Args:
        extents: latents, rows, columns.
        step: rows (columns, where there is one row) in a chunk.
        steps: float32 ``[rates, latents]``.
    """
    stream = Stream((ctypes.c_uint8 * 16)(*identity), 0, 0, *extents, step, 0, len(shape))
    stream.shape = (ctypes.c_uint32 * 4)(*shape)
    raw = steps.astype("<f4").tobytes()
    tables = (Table * len(models))(*(Table(model, len(model)) for model in models))
    return SentSplit(1, highest, len(models), stream, Table(raw, len(raw)), tables)


class Sender:
    """Calls a library that ``ep_split.c`` is in; memory, scratch and room are of the very sizes that it asks for."""

    def __init__(self, library: Path) -> None:
        self.code = ctypes.CDLL(str(library))
        u32, u64, pointer, split = (
            ctypes.c_uint32,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.POINTER(SentSplit),
        )
        for name, arguments, result in (
            ("bytes", (split, u32), u64),
            ("open", (split, u32, pointer, u64), pointer),
            ("latent_bytes", (pointer,), u64),
            ("scratch", (pointer,), u64),
            ("most_bytes", (pointer,), u64),
            ("encode", (pointer, pointer, u64, pointer, u64, pointer, u64), ctypes.c_int64),
        ):
            function = getattr(self.code, f"ep_split_{name}")
            function.argtypes, function.restype = arguments, result

    def opened(self, split: SentSplit, rate: int) -> tuple[int, Array]:
        """A sender, and the memory that it lives in; 0 where it is refused."""
        size = self.code.ep_split_bytes(ctypes.byref(split), rate)
        memory = np.zeros(-(-size // 8), np.uint64)
        made = self.code.ep_split_open(ctypes.byref(split), rate, memory.ctypes.data, size) if size else None
        return made or 0, memory

    def encode(self, split: SentSplit, rate: int, latents: Array, room: int | None = None) -> bytes | int:
        """The stream, or the negative number that stands for none."""
        sender, _memory = self.opened(split, rate)
        assert sender
        latents = np.ascontiguousarray(latents, np.float32)
        scratch = np.zeros(-(-self.code.ep_split_scratch(sender) // 8), np.uint64)
        most = self.code.ep_split_most_bytes(sender) if room is None else room
        out = np.full(most + _BEHIND, 0xA5, np.uint8)
        length = self.code.ep_split_encode(
            sender,
            latents.ctypes.data,
            latents.nbytes,
            scratch.ctypes.data,
            scratch.nbytes,
            out.ctypes.data,
            most,
        )
        assert (out[most:] == 0xA5).all()
        return out[:length].tobytes() if length >= 0 else int(length)
