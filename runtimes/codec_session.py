"""A loaded codec: pictures, recordings and arrays to streams, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.bundle import Bundle
from edgepress.coding.stream import MARK, Header, read_header
from edgepress.errors import DataError, UsageError
from edgepress.runtimes.choose import choose
from edgepress.runtimes.codec_form import CodecForm, Rate
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Samples, convert, decoded_type, samples_of, stored
from edgepress.runtimes.codec_stream import Codes, layout, pieces, step_of
from edgepress.runtimes.codec_tiles import CodeAxis, SampleAxis, Tiling
from edgepress.runtimes.session import Session

Array = np.ndarray[Any, Any]

_LARGEST_TILE = 1024  # results along an axis, where the engine takes any number
_MOST_SAMPLES = 1 << 31  # of what is decoded into memory


@dataclass(frozen=True)
class Lost:
    """What a damaged stream does not give: rows (samples of a recording, frames of a volume) first … end − 1."""

    first: int
    end: int


@dataclass(frozen=True, eq=False)
class Decoding:
    """A stream that is about to be decoded.

    Attributes:
        header: the stream's.
        shape, dtype: of what comes out.
        channels_last: whether the first axis of ``shape`` is the first one of the codec, as in pictures; else, where
            there are channels, they come first.
        blocks: gives what comes out, in pieces along the codec's first axis: the place of the first, and the piece.
        lost: what damage took; known once all blocks were read.
    """

    header: Header
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterator[tuple[int, Array]]
    lost: Callable[[], list[Lost]]
