"""Files of every kind as something to encode, and what is said of those that cannot be."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgepress.errors import DataError
from edgepress.inputs.npy import NpyFile
from edgepress.runtimes.codec_files import opened
from edgepress.runtimes.codec_session import CodecSession
from tests.codecs.made import smooth
from tests.codecs.test_session import near, photograph

Array = np.ndarray[Any, Any]


def save(path: Path, pixels: Array, mode: str | None = None, **options: Any) -> Path:
    """A picture file."""
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def record(path: Path, samples: Array, rate: int = 8000, width: int = 2) -> Path:
    """A WAV file of ``[samples, channels]``."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def read(value: Any, axes: int = 2, **options: Any) -> Array:
    """All samples of a file, as they are stored."""
    with opened(value, axes, **options) as samples:
        whole = samples.read(0, samples.extents[0])
        middle = samples.extents[0] // 2
        parts = [samples.read(0, middle), samples.read(middle, samples.extents[0])]
        assert np.array_equal(np.concatenate(parts, 1), whole)
        return np.array(whole)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
def test_pictures_are_what_they_show(tmp_path: Path, suffix: str) -> None:
    pixels = photograph(20, 30)
    assert np.array_equal(np.moveaxis(read(save(tmp_path / f"a{suffix}", pixels)), 0, -1), pixels)
    grey = save(tmp_path / f"grey{suffix}", pixels[:, :, 0])
    assert np.array_equal(read(grey)[0], pixels[:, :, 0])
    assert np.array_equal(read(grey.read_bytes()), read(grey))


def test_palettes_and_one_bit_become_colours(tmp_path: Path) -> None:
    pixels = photograph(20, 30)
    palette = save(tmp_path / "p.png", pixels, "P")
    with Image.open(palette) as opened_again:
        assert opened_again.mode == "P"
        expected = np.asarray(opened_again.convert("RGB"))
    assert np.array_equal(np.moveaxis(read(palette), 0, -1), expected)
    assert set(np.unique(read(save(tmp_path / "1.png", pixels, "1")))) <= {0, 255}


def test_sixteen_bits_keep_their_steps(tmp_path: Path, codec: CodecSession) -> None:
    deep = (smooth((40, 40)) * 30000 + 32767).astype(np.uint16)
    path = save(tmp_path / "deep.png", deep)
    assert read(path).dtype == np.uint16
    assert np.array_equal(read(path)[0], deep)
    eight = np.rint(deep / 257).astype(np.uint8)
    assert near(codec.decode(codec.encode(path)), eight, 12)


def test_orientation_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    pixels = photograph(20, 30)
    path = save(tmp_path / "turned.png", pixels, exif=exif)
    assert np.array_equal(np.moveaxis(read(path), 0, -1), np.rot90(pixels, -1))


def test_alpha(tmp_path: Path) -> None:
    pixels = photograph(8, 8)
    full = np.dstack([pixels, np.full((8, 8), 255, np.uint8)])
    assert np.array_equal(np.moveaxis(read(save(tmp_path / "full.png", full)), 0, -1), pixels)
    full[0, 0, 3] = 100
    path = save(tmp_path / "part.png", full)
    with pytest.raises(DataError, match=r"part\.png has transparent pixels.*--background white"):
        read(path)
    laid = np.moveaxis(read(path, background="white"), 0, -1)
    assert np.array_equal(laid[1:], pixels[1:])
    assert np.allclose(laid[0, 0], pixels[0, 0] * (100 / 255) + 155, atol=1)
    grey = np.dstack([pixels[:, :, 0], np.full((8, 8), 255, np.uint8)])
    assert np.array_equal(read(save(tmp_path / "grey.png", grey))[0], pixels[:, :, 0])


@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_in_pieces(tmp_path: Path, channels: int) -> None:
    samples = np.rint(smooth((4001, channels)) * 30000).astype("<i2")
    path = record(tmp_path / "a.wav", samples, 44100)
    with opened(path, 1) as found:
        assert found.kind == "recording" and found.sampling == 44100
        assert found.shape == ((4001,) if channels == 1 else (2, 4001))
    assert np.array_equal(read(path, 1), samples.T)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((20, 30, 3), "u1"), ((3, 20, 30), "f4"), ((3, 20, 30), ">f8"), ((20, 30), "u2")]
)
def test_arrays_in_pieces(tmp_path: Path, shape: tuple[int, ...], dtype: str, order: Any) -> None:
    array = np.asarray(np.random.default_rng(0).random(shape) * 200, dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    expected = array[None] if array.ndim == 2 else (np.moveaxis(array, -1, 0) if dtype == "u1" else array)
    assert np.array_equal(read(tmp_path / "a.npy"), expected)


def test_a_piece_is_all_that_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5000, dtype=np.uint16).reshape(2, 100, 25))

    class Counting(io.FileIO):
        bytes_read = 0

        def readinto(self, buffer: Any) -> int | None:
            count = super().readinto(buffer)
            self.bytes_read += count or 0
            return count

    with Counting(tmp_path / "a.npy") as raw:
        found = NpyFile(raw, "a")
        before = raw.bytes_read
        assert found.read(1, 10, 12).shape == (2, 2, 25)
        assert raw.bytes_read - before == 2 * 2 * 25 * 2


def truncated(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Two thirds of the file."""

    def cut(folder: Path) -> Path:
        path = make(folder)
        data = path.read_bytes()
        path.write_bytes(data[: 2 * len(data) // 3])
        return path

    return cut


def objects(folder: Path) -> Path:
    """Pickled objects as .npy; unpickling would make a file."""

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str, str]]:
            return open, (str(folder / "unpickled"), "w")

    np.save(folder / "o.npy", np.array([Trap()], object), allow_pickle=True)
    return folder / "o.npy"


def claimed(folder: Path) -> Path:
    """A header that promises far more than there is."""
    path = folder / "big.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 20)}
        )
    return path


def bomb(folder: Path) -> Path:
    """A PNG of 60,000 × 60,000 pixels in a few hundred bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    (folder / "bomb.png").write_bytes(data)
    return folder / "bomb.png"


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    """A file of these bytes."""

    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


REFUSED: list[tuple[str, int, Callable[[Path], Path], str]] = [
    ("empty", 2, written("empty.png", b""), "empty.png is empty"),
    ("empty recording", 1, written("empty.wav", b""), "empty.wav is empty"),
    ("text", 2, written("text.png", b"no picture, but text\n" * 9), "text.png is no picture"),
    ("text as recording", 1, written("text.wav", b"no recording\n"), "text.wav is no PCM WAV file"),
    ("text as volume", 3, written("text.npy", b"no array\n" * 3), "text.npy is no .npy array"),
    ("half a picture", 2, truncated(lambda f: save(f / "h.png", photograph(90, 90))), "h.png is a damaged picture"),
    ("bomb", 2, bomb, "too large to be decoded safely"),
    ("24 bit", 1, lambda f: record(f / "w.wav", np.zeros((9, 3), np.uint8), width=3), "24 bits a sample"),
    ("8 bit", 1, lambda f: record(f / "w.wav", np.zeros((9, 1), np.uint8), width=1), "8 bits a sample"),
    ("no sample", 1, lambda f: record(f / "w.wav", np.zeros((0, 1), "<i2")), "holds no sample"),
    ("half a recording", 1, truncated(lambda f: record(f / "w.wav", np.zeros((99, 1), "<i2"))), "shorter than its"),
    ("recording as picture", 2, lambda f: record(f / "w.wav", np.zeros((9, 1), "<i2")), "is a recording"),
    ("objects", 2, objects, "Python objects, which are never unpickled"),
    ("short array", 2, claimed, "shorter than its header says"),
    ("float picture", 2, lambda f: save(f / "f.tiff", np.zeros((4, 4), np.float32)), "float numbers"),
    ("missing", 2, lambda f: f / "nothing.png", "nothing.png does not exist"),
    ("folder", 2, lambda f: f, "cannot be read"),
    ("a NUL", 2, lambda f: f / "a\0b", "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("axes", "make", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_files_that_are_refused(tmp_path: Path, axes: int, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(make(tmp_path), axes)
    assert not (tmp_path / "unpickled").exists()


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5000, 40), np.uint8))
    with opened(tmp_path / "a.npy", 2) as samples:
        samples.read(0, 10)
        (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:3000])
        with pytest.raises(DataError, match="cut short while it was read"):
            samples.read(4000, 5000)
