"""The entropy coder by definition: four interleaved rANS states that share a row of 16-bit words.

After Duda, "Asymmetric numeral systems" (2013), and Giesen, "Interleaved entropy coders" (2014). A state x lies
in [2^15, 2^31). To take a symbol of frequency f and start c out of 2^b::

    slot = x mod 2^b        x ← f · (x >> b) + slot − c        x < 2^15: x ← x · 2^16 + the next word

Which state a symbol belongs to is the caller's to say: neighbours in different states keep a processor busy.
The C library makes the same bytes, a hundred times faster.

A body is: the length of the escapes' bytes (LEB128), these bytes, four states (4 bytes each), the words. States
and words are little-endian. An escape's value v is LEB128 of 2v, or of −2v − 1 if it is negative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgepress.coding.leb import folded, read_leb, unfolded, write_leb
from edgepress.coding.table import Table
from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

LANES = 4
LOW = 1 << 15
MOST_ESCAPES = (1 << 28) - 1  # their bytes
_MOST_LEB = 3  # bytes of a value of 16 bits


class Writer:
    """Values, in the order in which a :class:`Reader` takes them; the bytes are made at the end."""

    def __init__(self) -> None:
        self._symbols: list[tuple[int, int, int, int]] = []  # lane, bits, frequency, start
        self._escapes = bytearray()

    def put(self, table: Table, lane: int, value: int) -> None:
        """Add a value of 16 bits."""
        symbol, spans = value - table.low, table.spans[1]
        if not 0 <= symbol < len(spans) - 1:
            symbol = len(spans) - 1
            self._escapes += write_leb(folded(value))
        self._symbols.append((lane, table.bits, *spans[symbol]))

    def body(self) -> bytes:
        """The bytes."""
        states = [LOW] * LANES
        words: list[int] = []  # the last first
        for lane, bits, frequency, start in reversed(self._symbols):
            x = states[lane]
            if x >= frequency << (31 - bits):
                words.append(x & 0xFFFF)
                x >>= 16
            states[lane] = (x // frequency << bits) + x % frequency + start
        return b"".join(
            [
                write_leb(len(self._escapes)), bytes(self._escapes), np.array(states, "<u4").tobytes(),
                np.array(words[::-1], "<u2").tobytes(),
            ]
        )  # fmt: skip


class Reader:
    """Values from bytes.

    Raises:
        DataError: the bytes are no body; methods raise it too, where they are another's.
    """

    def __init__(self, body: bytes) -> None:
        try:
            length, start = read_leb(body, 0)
        except ValueError:
            length, start = len(body), 0
        left = len(body) - start - 4 * LANES - length
        if left < 0 or left % 2 or length > MOST_ESCAPES:
            raise _damaged("its lengths do not fit together")
        end = start + length
        self._escapes = body[start:end]
        self._states = [int(x) for x in np.frombuffer(body, "<u4", LANES, end)]
        self._words = np.frombuffer(body, "<u2", -1, end + 4 * LANES).tolist()
        self._word = self._escape = 0
        if not all(LOW <= x < 1 << 31 for x in self._states):
            raise _damaged("it begins with no state")

    def take(self, table: Table, lane: int) -> int:
        """The next value."""
        x = self._states[lane]
        slot = x & ((1 << table.bits) - 1)
        owners, spans = table.spans
        symbol = owners[slot]
        frequency, start = spans[symbol]
        x = frequency * (x >> table.bits) + slot - start
        if x < LOW:
            if self._word == len(self._words):
                raise _damaged("it ends too early")
            x = x << 16 | self._words[self._word]
            self._word += 1
        self._states[lane] = x
        return table.low + symbol if symbol < len(spans) - 1 else self._rare()

    def finish(self) -> None:
        """Make sure that all was taken: what is left over shows that something was read wrongly."""
        if self._word != len(self._words) or self._escape != len(self._escapes):
            raise _damaged("it holds more than its header says")
        if any(x != LOW for x in self._states):
            raise _damaged("it holds other values than its header says")

    def _rare(self) -> int:
        try:
            number, length = read_leb(self._escapes[self._escape : self._escape + _MOST_LEB], 0)
        except ValueError:
            number = length = 1 << 16
        self._escape += length
        if number < 1 << 16:
            return unfolded(number)
        raise _damaged("a rare value is cut off or too large")


def _damaged(why: str) -> DataError:
    return DataError(f"a chunk is damaged: {why}; get the stream again")
