"""The entropy coder by definition, in NumPy: four interleaved rANS states that share a row of 16-bit words.

After Duda, "Asymmetric numeral systems" (2013), and Giesen, "Interleaved entropy coders" (2014). A state x lies
in [2^15, 2^31). To take a symbol of frequency f and start c out of 2^b::

    slot = x mod 2^b        x ← f · (x >> b) + slot − c        x < 2^15: x ← x · 2^16 + the next word

Symbol k of a run belongs to state k mod 4; a run is what one table codes, and begins at state 0. The C
library makes the same bytes, much faster.

A body is: the length of the escapes' bytes (4 bytes), these bytes, four states (4 bytes each), the words. All
is little-endian. An escape's value v is LEB128 of 2v, or of −2v − 1 if it is negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.table import Table
from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

LANES = 4
LOW = 1 << 15
_MOST_LEB = 3  # bytes of a value of 16 bits


@dataclass(frozen=True)
class Run:
    """So many values coded by one table."""

    table: Table
    count: int


def encode(runs: Sequence[Run], values: Array) -> bytes:
    """The body of a chunk.

    Args:
        runs: tables in order.
        values: int16, as many as the runs have together.

    Raises:
        ValueError: there are more or fewer values.
    """
    values = np.asarray(values, np.int16)
    if values.ndim != 1 or len(values) != sum(run.count for run in runs):
        raise ValueError(f"values of shape {values.shape} for runs of {sum(run.count for run in runs)}")
    escapes, symbols = bytearray(), []
    at = 0
    for run in runs:
        part = values[at : at + run.count]
        found = run.table.symbols_of(part)
        symbols.append(found)
        for value in part[found == run.table.symbols - 1].tolist():
            escapes += _leb(value)
        at += run.count
    states = [LOW] * LANES
    words: list[int] = []  # the last first
    for run, found in zip(reversed(runs), reversed(symbols), strict=True):
        bits, starts = run.table.bits, run.table.starts
        frequency = run.table.frequencies[found].tolist()
        start = starts[found].tolist()
        for place in range(run.count - 1, -1, -1):
            x, f = states[place % LANES], frequency[place]
            if x >= f << (31 - bits):
                words.append(x & 0xFFFF)
                x >>= 16
            states[place % LANES] = (x // f << bits) + x % f + start[place]
    return b"".join(
        [
            len(escapes).to_bytes(4, "little"), bytes(escapes), np.array(states, "<u4").tobytes(),
            np.array(words[::-1], "<u2").tobytes(),
        ]
    )  # fmt: skip


def decode(runs: Sequence[Run], body: bytes) -> Array:
    """The values of a chunk's body, int16.

    Raises:
        DataError: the body is no such chunk's.
    """
    if len(body) < 4 + 4 * LANES:
        raise DataError("a chunk is too short to be one; the stream is damaged")
    length = int.from_bytes(body[:4], "little")
    if length > len(body) - 4 - 4 * LANES or (len(body) - length) % 2:
        raise DataError("a chunk's lengths do not fit together; the stream is damaged")
    escapes = body[4 : 4 + length]
    states = np.frombuffer(body, "<u4", LANES, 4 + length).astype(np.int64)
    words = np.frombuffer(body, "<u2", -1, 4 + length + 4 * LANES).astype(np.int64)
    if ((states < LOW) | (states >= 1 << 31)).any():
        raise DataError("a chunk begins with no state; the stream is damaged")
    at, known, parts = 0, 0, []
    for run in runs:
        table = run.table
        owner = np.repeat(np.arange(table.symbols), table.frequencies)
        frequencies, starts = table.frequencies.astype(np.int64), table.starts.astype(np.int64)
        found = np.empty(run.count, np.int64)
        for first in range(0, run.count, LANES):
            lanes = min(LANES, run.count - first)
            x = states[:lanes]
            slot = x & ((1 << table.bits) - 1)
            symbol = owner[slot]
            x = frequencies[symbol] * (x >> table.bits) + slot - starts[symbol]
            short = x < LOW
            taken = int(short.sum())
            if at + taken > len(words):
                raise DataError("a chunk ends too early; the stream is damaged")
            x[short] = (x[short] << 16) | words[at : at + taken]
            at += taken
            states[:lanes] = x
            found[first : first + lanes] = symbol
        values = found + table.low
        for place in np.flatnonzero(found == table.symbols - 1).tolist():
            values[place], known = _unleb(escapes, known)
        parts.append(values.astype(np.int16))
    if at != len(words) or known != len(escapes) or (states != LOW).any():
        raise DataError("a chunk holds other values than its header says; the stream is damaged")
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _leb(value: int) -> bytes:
    number = 2 * value if value >= 0 else -2 * value - 1
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _unleb(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place in range(_MOST_LEB):
        if at + place >= len(data):
            break
        number |= (data[at + place] & 0x7F) << (7 * place)
        if not data[at + place] & 0x80:
            if number >= 1 << 16:
                break
            return (number >> 1 if not number & 1 else -(number + 1 >> 1)), at + place + 1
    raise DataError("a chunk's rare values are cut off or too large; the stream is damaged")
