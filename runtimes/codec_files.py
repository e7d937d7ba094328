"""Files as something to encode: pictures, WAV recordings and ``.npy`` arrays, the last two read in pieces."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgepress.errors import DataError
from edgepress.inputs.audio import open_recording, read_frames
from edgepress.inputs.image import check_range, has_sixteen_bits, open_picture
from edgepress.inputs.npy import MAGIC, NpyFile
from edgepress.runtimes.codec_samples import Array, Samples, in_pieces, samples_of

_RIFF = b"RIFF"
_SAMPLE = 2  # bytes of a recording's
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


@contextmanager
def opened(
    value: str | Path | bytes | bytearray | memoryview, axes: int, background: str = ""
) -> Iterator[Samples]:
    """A file as something to encode, for as long as it is open.

    Args:
        value: a path, or a file's bytes.
        axes: of the codec.
        background: the colour that transparent pictures are laid on, as Pillow names colours; none refuses them.

    Raises:
        DataError: the file cannot be read, or is nothing that such a codec encodes.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        yield _samples(io.BytesIO(value), "the data", axes, background)
        return
    path = Path(value)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}); check that it is a file you may read") from None
    with file:
        if not file.seekable():  # a pipe
            yield _samples(io.BytesIO(file.read()), str(path), axes, background)
            return
        yield _samples(file, str(path), axes, background)


def _samples(file: BinaryIO, name: str, axes: int, background: str) -> Samples:
    head = file.read(12)
    file.seek(0)
    if not head:
        raise DataError(f"{name} is empty; give a picture, a recording or an array")
    if head.startswith(MAGIC):
        array = NpyFile(file, name)
        return in_pieces(array.dtype, array.shape, array.read, axes, name)
    if axes == 1:
        return _recording(file, name)
    if head.startswith(_RIFF) and head.endswith(b"WAVE"):
        raise DataError(
            f"{name} is a recording, and the codec is for {'pictures' if axes == 2 else 'volumes'}"
        )
    if axes == 3:
        raise DataError(
            f"{name} is no .npy array, of which alone volumes can be made; save one with numpy.save"
        )
    return samples_of(picture(file, name, background), axes, name)


def _recording(file: BinaryIO, name: str) -> Samples:
    recording = open_recording(file, name)
    channels, width, count = recording.getnchannels(), recording.getsampwidth(), recording.getnframes()
    if width != _SAMPLE or channels < 1:
        raise DataError(f"{name} has {8 * width} bits a sample; convert it to 16-bit PCM")
    if count * _SAMPLE * channels > file.seek(0, os.SEEK_END):
        raise DataError(f"{name} is shorter than its header says; give the whole file")
    if not count:
        raise DataError(f"{name} holds no sample, so there is nothing to encode")

    def read(first: int, end: int) -> Array:
        recording.setpos(first)
        frames = read_frames(recording, end - first, name)
        if len(frames) != (end - first) * _SAMPLE * channels:
            raise DataError(f"{name} is shorter than its header says; give the whole file")
        return np.frombuffer(frames, "<i2").reshape(-1, channels).T

    shape = (channels, count) if channels > 1 else (count,)
    return Samples(name, "recording", shape, channels, (count,), recording.getframerate(), read)


def picture(file: BinaryIO, name: str, background: str) -> Array:
    """A picture file's pixels: uint8 ``[rows, columns]`` or ``[rows, columns, 3]``, or uint16 ``[rows, columns]``.

    Palettes and other colours become RGB; alpha that hides nothing is left out.

    Raises:
        DataError: it is no picture, has no fixed range, or has transparent pixels and no background for them.
    """

    def pixels(picture: Any) -> Array:
        check_range(picture, name)
        if has_sixteen_bits(picture):
            return np.asarray(picture).astype(np.uint16)
        if picture.mode in _ALPHA or "transparency" in picture.info:
            picture = _opaque(picture.convert("RGBA"), name, background)
        if picture.mode in ("1", "L"):
            return np.asarray(picture.convert("L"))
        return np.asarray(picture.convert("RGB"))

    found: Array = open_picture(file, name, pixels)
    return found


def _opaque(picture: Any, name: str, background: str) -> Any:
    from PIL import Image, ImageColor

    if picture.getchannel("A").getextrema() == (255, 255):
        return picture
    if not background:
        raise DataError(
            f"{name} has transparent pixels, and a codec keeps no alpha; name a colour to lay it on, such as "
            "--background white"
        )
    canvas = Image.new("RGBA", picture.size, ImageColor.getrgb(background))
    canvas.alpha_composite(picture)
    return canvas
