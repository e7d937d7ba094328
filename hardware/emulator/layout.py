"""How the structures of ``ep.h`` lie in memory, little-endian, for processors of 64 and of 32 bits.

An integer of 64 bits is aligned to 8 bytes on all of them (AAPCS for Arm, the basic C ABI of WebAssembly).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass


class Wide(int):
    """An argument of 64 bits on every processor."""


@dataclass(frozen=True)
class Layout:
    """Formats of :mod:`struct`, one a structure, and a pointer's bytes; padding gives no value."""

    pointer: int
    model: str
    op: str
    io: str
    tensor: str
    state: str
    hooks: str

    def tensors(self, addresses: Sequence[int], sizes: Sequence[int]) -> bytes:
        """An array of ``ep_tensor``."""
        return b"".join(struct.pack(self.tensor, *pair) for pair in zip(addresses, sizes, strict=True))

    def memory(self, weights: int, weights_bytes: int, arena: int, arena_bytes: int) -> bytes:
        """An ``ep_state``."""
        return struct.pack(self.state, weights, weights_bytes, arena, arena_bytes)

    def layer_hooks(self, layer: int) -> bytes:
        """An ``ep_hooks`` of one thread that tells ``layer`` of each op."""
        return struct.pack(self.hooks, 0, 1, 0, layer)

    def arguments(self, values: Sequence[int]) -> list[int]:
        """A call's arguments as words of registers and stack: where these have 32 bits, a :class:`Wide` one takes two,
        the first of them even (AAPCS)."""
        if self.pointer == 8:
            return list(values)
        found: list[int] = []
        for value in values:
            if isinstance(value, Wide):
                found += [0] * (len(found) % 2) + [value & 0xFFFFFFFF, value >> 32]
            else:
                found.append(value)
        return found

    def words(self, values: Sequence[int]) -> bytes:
        """Arguments as a stack holds them."""
        return struct.pack(f"<{len(values)}{'Q' if self.pointer == 8 else 'I'}", *values)


POINTERS_64 = Layout(8, "<IIIIQQQQQQI4x", "<QQIIQ", "<QII8qQ", "<QQ", "<QQQQ", "<QI4xQQ")
POINTERS_32 = Layout(4, "<IIIIIIIIQQI4x", "<IIIII", "<III4x8qQ", "<I4xQ", "<I4xQI4xQ", "<IIII")
