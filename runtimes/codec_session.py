"""A loaded codec: pictures, recordings and arrays to streams, and back."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.bundle import Bundle
from edgepress.coding.description import DECODER, ENCODER, Codec, Rate, codec_of, read_levels
from edgepress.coding.stream import HEADER_BYTES, MARK, Header, read_header
from edgepress.errors import DataError, UsageError
from edgepress.runtimes.choose import Choice, choose
from edgepress.runtimes.codec_decode import sample_bands
from edgepress.runtimes.codec_encode import code_bands
from edgepress.runtimes.codec_form import CodecForm
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Samples, decoded_type, samples_of, stored
from edgepress.runtimes.codec_stream import Codes, layout, pieces, step_of
from edgepress.runtimes.session import Session

Array = np.ndarray[Any, Any]
Value = Samples | Array | str | Path | bytes
Stream = bytes | bytearray | memoryview | str | Path

_MOST_SAMPLES = 1 << 31  # that are decoded into memory at once


@dataclass(frozen=True, eq=False)
class Decoding:
    """A stream that is about to be decoded.

    Attributes:
        header: the stream's.
        dtype: of what comes out; its shape is the header's.
        blocks: what comes out, in pieces along the codec's first axis: the place of the first one, and the piece.
        lost: what damage took; complete once all blocks were read. Rows, samples or frames: first and end of each gap.
    """

    header: Header
    dtype: np.dtype[Any]
    blocks: Iterator[tuple[int, Array]]
    lost: Callable[[], list[tuple[int, int]]]


@dataclass(frozen=True, eq=False)
class Recovered:
    """What a stream gave, though it may be damaged.

    Attributes:
        array: what was decoded; grey, or silence, where something was lost, and around it.
        lost: first and end of each gap, in rows of a picture, samples of a recording, or frames of a volume.
    """

    array: Array
    lost: list[tuple[int, int]]


class CodecSession(Session):
    """A loaded codec. What :meth:`run` runs is the graph of its part on one tile.

    Attributes:
        name: of the codec.
        codec: its sizes, its rates, its identity.
    """

    def __init__(
        self, bundle: Bundle, asked: str | None, trust: bool, threads: int | None
    ) -> None:
        parts = bundle.manifest.parts
        part = ENCODER if ENCODER in parts else DECODER
        choice = choose(bundle, part, asked, trust)
        super().__init__(bundle, part, choice, choice.start(bundle, part, threads))
        codec = codec_of(parts[part].tables, bundle.member, str(bundle.path))
        assert codec is not None
        levels = read_levels(bundle.member(parts[part].tables["levels"]), codec, str(bundle.path))
        self._form = CodecForm(bundle.manifest.name, codec, levels)
        self.name, self.codec = bundle.manifest.name, codec
