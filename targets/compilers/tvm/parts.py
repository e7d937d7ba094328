"""Into how many parts a kernel call is worth dividing between threads, decided when the model is built."""

from __future__ import annotations

from collections.abc import Sequence

from edgepress.targets.compilers.tvm.machine import Machine

WORTH = 512  # vector instructions: handing over a part takes a fraction of the time of so many


def most_parts(extent: int, dtypes: Sequence[str], macs: int, moved: int, machine: Machine) -> int:
    """The most parts of a call: each has work for longer than it takes to hand it to another thread.

    Args:
        extent: of the loop that parts divide.
        dtypes: of the kernel's arguments: with one of 8 bits, an instruction multiplies more numbers.
        macs: multiply-accumulates of the call.
        moved: bytes of everything that it reads and writes.
        machine: the processor.
    """
    eight = any(dtype in ("int8", "uint8") for dtype in dtypes)
    work = macs // (machine.lanes * (machine.depth if eight else 1)) + moved // (4 * machine.lanes)
    return max(1, min(extent, work // WORTH))
