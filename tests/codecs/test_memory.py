"""What is larger than memory: encoded and decoded band by band."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepress.coding.stream import read_header
from edgepress.inputs.npy import write_header
from edgepress.runtimes import codec_coders
from edgepress.runtimes.codec_decoding import stream_bytes
from edgepress.runtimes.codec_output import write_decoded
from edgepress.runtimes.codec_session import CodecSession
from tests.codecs.made import described, session, write_codec

Array = np.ndarray[Any, Any]
ROWS, COLUMNS = 2600, 1000
MIB = 1 << 20


class Packing:
    """A coder that is quick in Python: what is measured here is everything else."""

    def encode(self, values: Array) -> bytes:
        """See :class:`edgepress.coding.coder.Coder`."""
        return zlib.compress(values.tobytes(), 1)

    def decode(self, body: bytes, rows: int, columns: int) -> Array:
        """See :class:`edgepress.coding.coder.Coder`."""
        return np.frombuffer(zlib.decompress(body), np.int16).reshape(-1, rows, columns)


@pytest.fixture
def packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CodecSession]:
    """A cheap codec in tiles of 128."""
    monkeypatch.setattr(codec_coders, "coder_opener", lambda coding: Packing)
    with session(write_codec(tmp_path / "cheap.edge", described(levels=1, tile=128))) as loaded:
        yield loaded


def peak(work: Callable[[], object]) -> float:
    """The most that Python and NumPy held while it ran, in MiB."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "dtype", "most"), [((ROWS, COLUMNS, 3), "u1", 3.6), ((3, ROWS, COLUMNS), "f4", 6)]
)
def test_a_large_array_is_never_whole_in_memory(
    packing: CodecSession, tmp_path: Path, shape: tuple[int, ...], dtype: str, most: float
) -> None:
    path, stream, back = (tmp_path / name for name in ("a.npy", "a.epc", "b.npy"))
    with path.open("wb") as file:  # all 0: the file system keeps next to nothing of it
        write_header(file, shape, np.dtype(dtype))
        file.truncate(file.tell() + int(np.prod(shape)) * np.dtype(dtype).itemsize)

    def encode() -> None:
        with packing.samples(path) as samples, stream.open("wb") as file:
            for piece in packing.pieces(samples):
                file.write(piece)

    def decode() -> None:
        with stream_bytes(stream) as data, back.open("w+b") as file:
            write_decoded(packing.decoding(data), file, ".npy")

    encode_peak, decode_peak = peak(encode), peak(decode)
    assert read_header(stream.read_bytes()).shape == shape
    whole = np.prod(shape) * np.dtype(dtype).itemsize / MIB
    assert encode_peak < most < whole / 2
    assert decode_peak < 5.5 < whole
    assert np.array_equal(np.load(back), packing.decode(stream))


def test_a_recording_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.codecs.test_files import record

    monkeypatch.setattr(codec_coders, "coder_opener", lambda coding: Packing)
    count = 2_000_000
    path = record(tmp_path / "long.wav", np.zeros((count, 2), "<i2"))
    file = write_codec(tmp_path / "sound.edge", described(1, 2, tile=8192))
    with session(file) as codec, codec.samples(path) as samples:
        length = []
        assert peak(lambda: length.append(sum(map(len, codec.pieces(samples))))) < 3 < 4 * count / MIB
        assert length[0] > 100
