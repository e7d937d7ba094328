"""Who codes a stream on this machine: the C library where there is one, the definition in Python otherwise."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from edgepress.coding.coder import Coding, OpenCoder, PortableCoder
from edgepress.runtimes.native_coder import NativeCoder


def coder_opener(coding: Coding, library: Path | None = None) -> OpenCoder:
    """What makes coders for a model: call it once for each thread.

    Args:
        coding: the model.
        library: a library for this machine with the C coder, such as a codec bundle's; without one, the one that
            comes with edgepress, where it has one for this machine.
    """
    return partial(PortableCoder, coding) if library is None else partial(NativeCoder, library, coding)
