"""LEB128: whole numbers in as many bytes as they need, seven bits in each, the low ones first."""

from __future__ import annotations

_MOST_BYTES = 5


def write_leb(number: int) -> bytes:
    """A number from 0 to 2**35 − 1 as bytes."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def read_leb(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at a byte, and where it ends.

    Raises:
        ValueError: it is cut off, longer than need be, or has more than five bytes.
    """
    number = 0
    for place, byte in enumerate(data[at : at + _MOST_BYTES]):
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if byte == 0 and place:
                break
            return number, at + place + 1
    raise ValueError("a number is cut off or longer than need be")


def folded(value: int) -> int:
    """A number with a sign as one without: 0, −1, 1, −2 … become 0, 1, 2, 3 …"""
    return 2 * value if value >= 0 else -2 * value - 1


def unfolded(number: int) -> int:
    """What :func:`folded` was given."""
    return -(number >> 1) - 1 if number & 1 else number >> 1
