"""A figure with its unit, its spread and, always, its origin."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Origin = Literal["measured", "emulated", "estimated", "published", "replayed", "unavailable"]
ORIGINS: tuple[str, ...] = get_args(Origin)


@dataclass(frozen=True)
class Measurement:
    """One figure that leaves the program.

    Attributes:
        name: what it is, such as ``"latency p50"``.
        value: the figure in ``unit``; None when the origin is ``"unavailable"``.
        unit: an SI or plain unit: ``"ms"``, ``"bytes"``, ``"instructions"``, ``"J"``.
        origin: ``measured`` (a clock or a meter on the device), ``emulated`` (instructions only),
            ``estimated`` (a model says so), ``published`` (someone else's figure),
            ``replayed`` (a recorded trace), ``unavailable``.
        how: the model, the source or the reason behind the origin.
        low, high: the spread, in ``unit``, where one is known.
    """

    name: str
    value: float | None
    unit: str
    origin: Origin
    how: str = ""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.origin not in ORIGINS:
            raise ValueError(f"{self.origin!r} is no origin; one of {', '.join(ORIGINS)}")
        if self.origin == "emulated" and self.unit in ("s", "ms", "us", "ns", "J", "mJ"):
            raise ValueError("an emulator counts instructions; it measures neither time nor energy")
        if (self.value is None) != (self.origin == "unavailable"):
            raise ValueError("a figure has a value unless its origin is 'unavailable'")

    def to_json(self) -> dict[str, Any]:
        """The measurement as JSON-ready data, without the fields that are empty."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: not measured ({self.how})" if self.how else f"{self.name}: not measured"
        spread = (
            f" [{self.low:.4g}, {self.high:.4g}]" if self.low is not None and self.high is not None else ""
        )
        return f"{self.name}: {self.value:.4g} {self.unit}{spread} ({self.origin})"
