"""A network link as two figures, its rate and its delay, and the time that bytes take over it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgepress.errors import UsageError

_UNITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_FIGURE = r"((?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)\s*"
_RATE = re.compile(_FIGURE + "([kmg]?b(?:it(?:/s)?|ps))", re.IGNORECASE)
_DELAY = re.compile(_FIGURE + "(us|ms|s)", re.IGNORECASE)
_MEND = "write it like 1mbit,20ms or 100kbit"
LONGEST = 10.0  # seconds of a round trip


@dataclass(frozen=True)
class Link:
    """A link whose two directions are alike.

    Attributes:
        bits_per_s: what each direction carries, of the bytes that programs send: headers of packets are not
            counted.
        delay_s: the delay of an empty message and its empty answer together, as ``ping`` shows it; half of it in
            each direction.
    """

    bits_per_s: float
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bits_per_s) and self.bits_per_s >= 1):
            raise ValueError(f"a link of {self.bits_per_s:g} bit/s; a rate is at least 1 bit/s")
        if not 0 <= self.delay_s <= LONGEST:
            raise ValueError(f"a round trip of {self.delay_s:g} s; it takes from 0 to {LONGEST:g} s")

    @property
    def one_way_s(self) -> float:
        """The delay of one direction."""
        return self.delay_s / 2

    def carry_s(self, size: int) -> float:
        """Seconds until the last of ``size`` bytes has arrived, on a link that carries nothing else."""
        return 8 * size / self.bits_per_s + self.one_way_s

    def exchange_s(self, sent: int, received: int) -> float:
        """Seconds of a request and its answer, of so many bytes each, without the server's work between them."""
        return self.carry_s(sent) + self.carry_s(received)

    def __str__(self) -> str:
        """As :func:`parse_link` reads it."""
        rate = rate_text(self.bits_per_s)
        return f"{rate},{1e3 * self.delay_s:.12g}ms" if self.delay_s else rate


def parse_link(text: str) -> Link:
    """``1mbit``, ``100kbit,20ms``: a rate and, after a comma, the delay of a round trip (none where it is left out).

    Raises:
        UsageError: it is written differently, or a figure can be no link's.
    """
    rate, comma, delay = text.partition(",")
    try:
        return Link(parse_rate(rate), parse_delay(delay) if comma else 0.0)
    except ValueError as error:
        raise UsageError(f"{text[:80]!r} is no link ({error}); {_MEND}") from None


def parse_rate(text: str) -> float:
    """Bits a second of ``1mbit``, ``0.1 Mbit/s``, ``250kbit``.

    Raises:
        UsageError: it is written differently.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text.strip()[:80]!r} is no rate of a link; {_MEND}")
    unit = found[2].lower().removesuffix("/s").replace("ps", "it")
    return float(found[1]) * _UNITS[unit]


def parse_delay(text: str) -> float:
    """Seconds of ``20ms``, ``0.1s``, ``300us``.

    Raises:
        UsageError: it is written differently.
    """
    found = _DELAY.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text.strip()[:80]!r} is no delay; write it like 20ms or 0.1s")
    return float(found[1]) * _TIMES[found[2].lower()]


def rate_text(rate: float) -> str:
    """A rate in the unit that suits it: ``100kbit``, ``1mbit``."""
    unit, scale = next(
        ((unit, scale) for unit, scale in reversed(_UNITS.items()) if rate >= scale), ("bit", 1.0)
    )
    return f"{rate / scale:.12g}{unit}"
