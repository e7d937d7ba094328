"""How much a server takes on: each limit is a promise that what comes from outside cannot be more."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from edgepress.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        queue: requests that wait for a worker; those beyond it are told to come again.
        connections: open at the same time; requests on those beyond it are told to come again, unread.
        largest: bytes of one body.
        held: bytes of all bodies that are in memory.
        body_s: seconds that a body may take to arrive.
        request_s: seconds from a request's head to its answer, waiting included.
        quiet_s: seconds that a connection may stay open without a whole request's head.
    """

    queue: int = 64
    connections: int = 512
    largest: int = 16 << 20
    held: int = 256 << 20
    body_s: float = 10.0
    request_s: float = 30.0
    quiet_s: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"the limit {field.name} is {value}; give a figure above 0")
        if self.largest > self.held:
            raise UsageError(
                f"one body may have {self.largest} bytes and all together {self.held}; raise the limit of all"
            )
