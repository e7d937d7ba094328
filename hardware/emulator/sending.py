"""A device's latents to a stream by its own library, on an emulated processor, with the instructions that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.errors import BundleError, CheckError
from edgepress.hardware.emulator.called import Called, Stopped
from edgepress.hardware.emulator.layout import Wide
from edgepress.targets.description import Target

Array = np.ndarray[Any, Any]
_MOST = 1 << 28  # bytes of anything that the library asks for


@dataclass(frozen=True)
class SentStream:
    """What ``ep_split.h`` made.

    Attributes:
        stream: its bytes.
        instructions: of making it from the latents; repeats exactly.
        opening: instructions of opening the rate, which is done once.
    """

    stream: bytes
    instructions: int
    opening: int


def emulate_sender(library: bytes, latents: Array, rates: int, target: Target) -> list[SentStream]:
    """The stream of the same latents at each rate.

    Args:
        library: that of the part ``device``: ``lib<name>.so``, or a microcontroller's ``<name>.elf``.
        latents: float32 ``[1, latents, rows, columns]``.
        rates: how many.
        target: the board.

    Raises:
        BundleError: the library sends nothing, or is damaged.
        CheckError: a rate is refused, the latents are others, or the run ended otherwise than it should.
        MissingExtraError: unicorn or pyelftools is not installed.
    """
    run = Called(library, target)
    if not run.has("ep_get_split", "ep_split_encode"):
        raise BundleError(
            "the library does not have ep_get_split and ep_split_encode; build the bundle again"
        )
    try:
        split, given = run.call("ep_get_split"), run.put(np.ascontiguousarray(latents).tobytes())
        return [_sent(run, split, rate, given, latents.nbytes) for rate in range(rates)]
    except Stopped as stop:
        raise stop.error() from None


def _sent(run: Called, split: int, rate: int, latents: int, count: int) -> SentStream:
    counter = run.counter()
    begun = counter.count
    size = _size(run.call("ep_split_bytes", split, rate), f"rate {rate}")
    sender = run.call("ep_split_open", split, rate, run.room(size), Wide(size))
    opened = counter.count
    scratch_size = _size(run.call("ep_split_scratch", sender), "the scratch")
    room = _size(run.call("ep_split_most_bytes", sender), "the stream")
    scratch, to, ready = run.room(scratch_size), run.room(room), counter.count
    length = run.call(
        "ep_split_encode", sender, latents, Wide(count), scratch, Wide(scratch_size), to, Wide(room)
    )
    length &= 0xFFFFFFFF
    if length > room:  # a negative number
        raise CheckError(
            f"the emulated library refuses the latents ({length - (1 << 32)}); build the bundle again"
        )
    return SentStream(run.read(to, length), counter.count - ready, opened - begun)


def _size(found: int, what: str) -> int:
    size = found & 0xFFFFFFFF
    if not 0 < size <= _MOST:
        raise CheckError(f"the emulated library gives no size for {what}; build the bundle again")
    return size
