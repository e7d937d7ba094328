"""Decoded streams as files: pictures, WAV recordings, and ``.npy`` arrays of any size."""

from __future__ import annotations

import math
import wave
from typing import BinaryIO

import numpy as np

from edgepress.coding.stream import Kind
from edgepress.errors import DataError, UsageError
from edgepress.inputs.image import MOST_PIXELS
from edgepress.inputs.npy import write_header
from edgepress.runtimes.codec_decoding import Decoding
from edgepress.runtimes.codec_samples import Array

SUFFIXES: dict[Kind, str] = {"picture": ".png", "recording": ".wav", "array": ".npy"}
_PICTURES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
_LARGEST_WAV = (1 << 32) - 64
_QUALITY = 95  # of formats that lose something themselves


def suffix_for(decoding: Decoding) -> str:
    """The ending of the file that a stream naturally becomes."""
    natural = SUFFIXES[decoding.header.kind]
    return natural if not why_not(decoding, natural) else ".npy"


def why_not(decoding: Decoding, suffix: str) -> str:
    """Why a stream cannot become a file of that ending; empty where it can."""
    header = decoding.header
    suffix = suffix.lower()
    if suffix == ".npy":
        return ""
    if suffix == ".wav":
        if header.kind != "recording":
            return "it holds no recording"
        if not header.sampling:
            return "it was made from an array, which has no sampling rate"
        return "" if 2 * math.prod(header.shape) < _LARGEST_WAV else "it is too long for a WAV file"
    if suffix not in _PICTURES:
        return f"files that end in {suffix or 'nothing'} are not written; there are .npy, .wav, {', '.join(_PICTURES)}"
    flat = len(header.shape) == 2 or (len(header.shape) == 3 and header.shape[2] in (1, 3))
    if header.kind != "picture" or not flat:
        return "it holds no picture of one or three channels"
    if math.prod(header.shape[:2]) > MOST_PIXELS:
        return f"it has more than {MOST_PIXELS:,} pixels"
    return ""


def write_decoded(decoding: Decoding, file: BinaryIO, suffix: str) -> None:
    """Decode a stream into a file.

    Args:
        file: opened to be written and read.
        suffix: one that :func:`why_not` has nothing against.

    Raises:
        DataError: nothing is left of the stream.
        UsageError: it cannot become such a file.
    """
    reason = why_not(decoding, suffix)
    if reason:
        raise UsageError(f"the stream cannot become a {suffix} file, for {reason}; decode it to .npy")
    suffix = suffix.lower()
    if suffix == ".npy":
        _write_npy(decoding, file)
    elif suffix == ".wav":
        _write_wav(decoding, file)
    else:
        _write_picture(decoding, file, _PICTURES[suffix])


def _write_npy(decoding: Decoding, file: BinaryIO) -> None:
    shape, dtype = decoding.header.shape, decoding.dtype
    write_header(file, shape, dtype)
    start = file.tell()
    line = math.prod(shape[decoding.along + 1 :]) * dtype.itemsize
    for first, piece in decoding.pieces:
        # Without an axis of channels before it there is one part, which follows the one before.
        for number, part in enumerate(piece if decoding.along else piece[None]):
            file.seek(start + (number * shape[decoding.along] + first) * line)
            file.write(np.ascontiguousarray(part).data.cast("B"))


def _write_wav(decoding: Decoding, file: BinaryIO) -> None:
    header = decoding.header
    with wave.open(file, "wb") as recording:
        recording.setnchannels(header.shape[0] if decoding.along else 1)
        recording.setsampwidth(2)
        recording.setframerate(header.sampling)
        for _, piece in decoding.pieces:
            recording.writeframes(np.ascontiguousarray(piece.T, "<i2").tobytes())


def _write_picture(decoding: Decoding, file: BinaryIO, form: str) -> None:
    from PIL import Image

    pixels: Array = decoding.whole().array
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    try:
        Image.fromarray(pixels).save(file, form, quality=_QUALITY)
    except ValueError as error:  # such as a side of more than 65,535 for JPEG
        raise DataError(f"the picture cannot become a {form} file ({error}); choose .png or .npy") from None
