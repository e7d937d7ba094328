"""One way to divide the work between device and server, with what each step takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgepress.cutting.crossings import Road
from edgepress.cutting.sent import Sent
from edgepress.hardware.link import Link
from edgepress.measurement import Measurement, Origin

Kind = Literal["all-device", "all-server", "split"]
ALL_DEVICE: Kind = "all-device"
ALL_SERVER: Kind = "all-server"
SPLIT: Kind = "split"

NOTHING = Measurement("time", 0.0, "ms", "estimated", "nothing is done there", 0.0, 0.0)
_WEAKER: tuple[Origin, ...] = ("measured", "replayed", "published", "estimated")


@dataclass(frozen=True)
class Option:
    """A way to divide the work.

    Attributes:
        kind: all on the device, all on the server, or split.
        curve: what it belongs to in the drawing: options that differ only in where they cut are one curve.
        cut: the layer, or the tensor, behind which the server takes over; empty where nothing is cut.
        tensor: the tensor of the float graph there.
        layer: the torch layer, where the source is torch.
        map: the shape of that tensor.
        sent: what goes over the link; None where nothing does.
        device, server: times of both ends, in ms.
        memory: what the device needs for weights and activations, in bytes.
        fits: whether the board has that much; None where that is not known.
    """

    kind: Kind
    curve: str
    cut: str
    tensor: str
    layer: str
    map: tuple[int, ...]
    sent: Sent | None
    device: Measurement
    server: Measurement
    memory: Measurement
    fits: bool | None = None

    @property
    def name(self) -> str:
        """For people: what is sent from where."""
        if self.sent is None:
            return f"{self.curve} (does not fit)" if self.fits is False else self.curve
        if self.kind == ALL_SERVER:
            return f"all-server, {self.sent.name}"
        return f"{self.sent.name} behind {self.cut}"

    @property
    def known(self) -> bool:
        """Whether there is a figure for everything that it takes."""
        size = self.sent is None or self.sent.bytes.value is not None
        return size and self.device.value is not None and self.server.value is not None

    def link(self, link: Link) -> Measurement:
        """Time on the link, in ms."""
        if self.sent is None:
            return NOTHING
        size = self.sent.bytes
        if size.value is None:
            return Measurement("link time", None, "ms", "unavailable", size.how)

        def ms(count: float) -> float:
            return 1e3 * (8 * count / link.bits_per_s + link.delay_s)

        how = f"{size.how}; at {link.bits_per_s / 1e6:g} Mbit/s, {1e3 * link.delay_s:g} ms there and back"
        low, high = (size.value if each is None else each for each in (size.low, size.high))
        return Measurement("link time", ms(size.value), "ms", "estimated", how, ms(low), ms(high))

    def total(self, link: Link) -> Measurement:
        """From the input on the device to the answer there, in ms."""
        parts = [self.device, self.link(link), self.server]
        missing = next((part for part in parts if part.value is None), None)
        if missing is not None:
            return Measurement("latency", None, "ms", "unavailable", missing.how)
        sums = [math.fsum(end_of(part, end) for part in parts) for end in ("value", "low", "high")]
        counted = [part.origin for part in parts if part.value]
        origin = max(counted, key=_WEAKER.index, default=_WEAKER[-1])
        return Measurement("latency", sums[0], "ms", origin, "device + link + server", sums[1], sums[2])

    def road(self, delay_s: float, device: str = "value", size: str = "value") -> Road:
        """Its line over the link's rate, with figures at ``value``, ``low`` or ``high``."""
        fixed = (end_of(self.device, device) + end_of(self.server, "value")) / 1e3
        if self.sent is None:
            return Road(self.name, self.kind, fixed, 0.0)
        return Road(self.name, self.kind, fixed + delay_s, 8 * end_of(self.sent.bytes, size))


def end_of(figure: Measurement, end: str) -> float:
    """A figure's ``value``, or its ``low`` or ``high`` where it has one."""
    value = getattr(figure, end)
    return float(figure.value or 0.0) if value is None else float(value)
