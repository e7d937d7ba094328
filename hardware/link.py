"""A link's rate and delay, as they are written on the command line."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from edgepress.errors import UsageError

_FORM = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z/]*)\s*(?:,\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*)?", re.ASCII)
_RATES = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_DELAYS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Link:
    """A link between a device and a server.

    Attributes:
        bits_per_s: what it carries.
        delay_s: from a request's last byte to the answer's first, where the answer takes no time: there and back.
    """

    bits_per_s: float
    delay_s: float


def parse_link(text: str) -> Link:
    """``5mbit,20ms``: a rate in bit, kbit, mbit or gbit a second, and the delay there and back in us, ms or s.

    Raises:
        UsageError: it is written otherwise, or the rate is 0.
    """
    found = _FORM.fullmatch(text.lower())
    rate, unit, delay, delay_unit = found.groups() if found else ("", "", None, None)
    unit = (unit or "").removesuffix("/s").removesuffix("ps")
    known = unit in _RATES and (delay is None or delay_unit in _DELAYS)
    bits = float(rate) * _RATES[unit] if known else 0.0
    if not 0 < bits < math.inf:
        raise UsageError(f"the link {text!r} is no rate and delay; write it like 5mbit,20ms")
    return Link(bits, 0.0 if delay is None else float(delay) * _DELAYS[delay_unit or ""])
