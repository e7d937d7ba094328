"""What the bundle of a split network says of it: the record that device and server read, and the tables beside it.

A network is split between a device, which turns its input into a stream, and a server, which finishes the work. The
bundle has the part ``device``, one part for each of the server's heads (``server`` is the first), and, where it was
built with one, ``local``: a whole network for the device when no server answers. Every part but ``local`` names the
same tables, so that each can be taken out alone::

    split        split/split.json     a Split, as JSON
    steps        split/steps.bin      float32, little-endian: [rates, latents]
    model.0 …    split/model.0.bin    one a rate: the integers' probabilities, as edgepress.coding writes them

Roads (``s`` a rate's steps, by latent)::

    input ─► device ─► latents ─ clip(rint(latents / s)) ─► integers ─► stream
    stream ─► integers ─ × s ─► latents, plane ─► server ─► outputs

- *device*: the teacher's input → latents, float32 ``[1, latents, rows, columns]``.
- *integers*: ``rint(latents / s)`` in float32, from −highest to highest, int16.
- *server*: float32 ``[1, latents + 1, rows, columns]`` → the teacher's outputs. The last channel is the rate's
  ``plane`` everywhere.

A stream is that of :mod:`edgepress.coding.stream`, of the kind ``array``, whose shape is the device's input without
its first axis, and whose channels, rows and columns are those of the latents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.description import model_name
from edgepress.coding.stream import Header
from edgepress.coding.whole import step_of
from edgepress.errors import BundleError
from edgepress.records import RecordError, decode, encode

DEVICE, SERVER, LOCAL = "device", "server", "local"
SPLIT, STEPS = "split", "steps"
MOST_RATES = 16
_HIGHEST = 1 << 14
_LARGEST = 1 << 20
_MOST_LATENTS = 1 << 12
_MOST_INTEGERS = 1 << 24

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SplitRate:
    """One of the rates that a split network can send at.

    Attributes:
        beta: the price of bits that it was trained with; None where unknown.
        plane: the value of the last channel that the server takes.
        bytes: of a stream, the mean over the examples kept apart in training; None where unknown.
        agreement: the share of those on which the server's first class is the teacher's; None where unknown.
    """

    beta: float | None
    plane: float
    bytes: float | None = None
    agreement: float | None = None

    def __post_init__(self) -> None:
        for name in ("beta", "plane", "bytes", "agreement"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"a rate whose {name} is {value}")


@dataclass(frozen=True)
class Split:
    """A network between a device and a server.

    Attributes:
        identity: 32 hexadecimal digits, equal where streams can be exchanged: of device weights, steps and tables.
        teacher: what it was distilled from, for people.
        layer: of the teacher, behind which the server's decoder takes over; empty where it takes the whole teacher.
        shape: of the device's input without its first axis.
        latents, rows, columns: of the integers that are sent.
        highest: their greatest magnitude.
        rates: from the fewest bytes to the most.
        heads: the server's parts, ``server`` first.
        device_macs, server_macs: multiply-adds of one input.
        teacher_macs: of the whole teacher.
        replaced_macs: of the teacher's own layers up to where its maps are as small as what is sent: what the device
            would spend without a student.
    """

    identity: str
    teacher: str
    layer: str
    shape: tuple[int, ...]
    latents: int
    rows: int
    columns: int
    highest: int
    rates: tuple[SplitRate, ...]
    heads: tuple[str, ...] = (SERVER,)
    device_macs: float = 0.0
    server_macs: float = 0.0
    teacher_macs: float = 0.0
    replaced_macs: float = 0.0

    def __post_init__(self) -> None:
        if len(self.identity) != 32 or set(self.identity) - set("0123456789abcdef"):
            raise ValueError(f"the identity {self.identity[:40]!r} is no 32 hexadecimal digits")
        if not 1 <= self.latents <= _MOST_LATENTS or not (self.rows >= 1 and self.columns >= 1):
            raise ValueError(f"{self.latents} latents of {self.rows} x {self.columns}")
        if self.latents * self.rows * self.columns > _MOST_INTEGERS:
            raise ValueError(f"{self.latents} x {self.rows} x {self.columns} integers are too many")
        if not 1 <= len(self.shape) <= 4 or not all(1 <= size < 1 << 32 for size in self.shape):
            raise ValueError(f"an input of shape {self.shape}")
        if not 1 <= self.highest <= _HIGHEST:
            raise ValueError(f"integers up to {self.highest}; 1 to {_HIGHEST} is possible")
        if not 1 <= len(self.rates) <= MOST_RATES:
            raise ValueError(f"{len(self.rates)} rates; there are 1 to {MOST_RATES}")
        if not self.heads or self.heads[0] != SERVER or {DEVICE, LOCAL} & set(self.heads):
            raise ValueError(f"the heads {', '.join(self.heads)}; the first is {SERVER}")
        for macs in (self.device_macs, self.server_macs, self.teacher_macs, self.replaced_macs):
            if not (math.isfinite(macs) and macs >= 0):
                raise ValueError(f"{macs} multiply-adds")

    @property
    def identity_bytes(self) -> bytes:
        """The 16 bytes that stand in a stream's header."""
        return bytes.fromhex(self.identity)

    def to_bytes(self) -> bytes:
        """The member ``split``: the same bytes for the same network."""
        return (json.dumps(encode(self), sort_keys=True, indent=1) + "\n").encode()


def costs_more(split: Split) -> str:
    """A sentence that says so where the device's half costs more than what it replaces; else empty."""
    if not split.replaced_macs or split.device_macs <= split.replaced_macs:
        return ""
    return (
        f"the device's half costs more than what it replaces: {split.device_macs / 1e6:.1f} M multiply-adds against "
        f"{split.replaced_macs / 1e6:.1f} M of the teacher's own layers; a slimmer one would pay"
    )


def split_tables(split: Split) -> tuple[str, ...]:
    """The tables that each part of a split network's bundle names, but for ``local``."""
    return (SPLIT, STEPS, *map(model_name, range(len(split.rates))))


def read_split(data: bytes | memoryview, where: str) -> Split:
    """The member ``split`` of a bundle.

    Args:
        where: the bundle, for messages.

    Raises:
        BundleError: it is too large, no JSON, or does not describe a split network.
    """
    if len(data) > _LARGEST:
        raise BundleError(f"the description of the split in {where} is too large; build the bundle again")
    try:
        return decode(Split, json.loads(bytes(data)))
    except (ValueError, RecursionError) as error:
        cause = str(error) if isinstance(error, RecordError) else "it is no JSON"
        raise BundleError(
            f"the description of the split in {where} is damaged ({cause[:200]}); build the bundle again"
        ) from None


def steps_to_bytes(steps: Array, split: Split) -> bytes:
    """The member ``steps``.

    Args:
        steps: float32 ``[rates, latents]``.

    Raises:
        ValueError: it has another shape, or a step is not above 0.
    """
    if steps.shape != (len(split.rates), split.latents) or not _are_steps(steps):
        raise ValueError(
            f"steps of shape {steps.shape} for {len(split.rates)} rates of {split.latents} latents"
        )
    return np.ascontiguousarray(steps, "<f4").tobytes()


def read_steps(data: bytes | memoryview, split: Split, where: str) -> Array:
    """The steps, float32 ``[rates, latents]``.

    Raises:
        BundleError: there are too many or too few bytes, or a step is not above 0.
    """
    count = len(split.rates) * split.latents
    if len(data) != 4 * count:
        raise BundleError(
            f"the steps in {where} take {len(data)} bytes, not the {4 * count} of its rates; build the bundle again"
        )
    steps = np.frombuffer(data, "<f4").astype(np.float32).reshape(len(split.rates), split.latents)
    if not _are_steps(steps):
        raise BundleError(f"the steps in {where} are none; build the bundle again")
    return steps


def split_of(tables: dict[str, str], member: Callable[[str], bytes | memoryview], where: str) -> Split | None:
    """The split network that a part of a bundle belongs to; None where it is another's.

    Args:
        tables: of the part, name to member.
        member: gives a member's bytes.

    Raises:
        BundleError: the description is damaged, or a table that belongs to it is missing.
    """
    if SPLIT not in tables:
        return None
    split = read_split(member(tables[SPLIT]), where)
    missing = next((name for name in split_tables(split) if name not in tables), "")
    if missing:
        raise BundleError(f"{where} has no table {missing!r} for its stream; build the bundle again")
    return split


def stream_header(split: Split, rate: int) -> Header:
    """The header of a split network's stream at a rate."""
    extents = (split.latents, split.rows, split.columns)
    return Header(split.identity_bytes, "array", rate, *extents, split.shape, 0, step_of(*extents))


def integers(latents: Array, steps: Array, highest: int) -> Array:
    """What is sent: float32 ``[latents, rows, columns]`` → int16, by float32 steps ``[latents]``; 0 for a NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(np.asarray(latents, np.float32) / steps[:, None, None])
    found: Array = np.clip(np.nan_to_num(scaled), -highest, highest).astype(np.int16)
    return found


def server_input(sent: Array, steps: Array, plane: float) -> Array:
    """What the server takes of int16 ``[latents, rows, columns]``: float32 ``[1, latents + 1, rows, columns]``."""
    made = np.empty((1, len(sent) + 1, *sent.shape[1:]), np.float32)
    np.multiply(sent, steps[:, None, None], out=made[0, :-1])
    made[0, -1] = plane
    return made


def _are_steps(steps: Array) -> bool:
    return bool(np.isfinite(steps).all() and (steps > 0).all())
