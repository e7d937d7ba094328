"""One picture through one codec at one rate, and what many such trials say together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from edgepress.errors import DataError
from edgepress.evaluate.picture_codec import Picture, PictureCodec
from edgepress.measurement import Measurement
from edgepress.metrics.accuracy import wilson_interval
from edgepress.metrics.signal import psnr_db
from edgepress.metrics.ssim import ABOUT, MS_LEAST, WINDOW, ms_ssim, ssim

_T = TypeVar("_T")
_MOST_RUNS = 5
_ENOUGH = 0.03  # seconds


@dataclass(frozen=True)
class Trial:
    """One picture, coded and decoded.

    Attributes:
        pixels: rows × columns.
        bits: of the whole file.
        psnr: in dB, over every sample of every channel; infinite where nothing was lost.
        ssim, ms_ssim: None where the picture is too small for them.
        agrees: whether the classifier names the class that it names for the original; None without a classifier.
        encode, decode: seconds.
    """

    pixels: int
    bits: int
    psnr: float
    ssim: float | None
    ms_ssim: float | None
    agrees: bool | None
    encode: float
    decode: float


@dataclass(frozen=True)
class Point:
    """A codec at one rate, over all pictures.

    Attributes:
        rate: as the codec is told it.
        bits_per_pixel, psnr, ssim, ms_ssim: means of the pictures' own figures.
        agreement: the share of pictures whose class stays the same.
        encode, decode: megapixels a second, all pixels over all seconds.
    """

    rate: float
    bits_per_pixel: Measurement
    psnr: Measurement
    ssim: Measurement
    ms_ssim: Measurement
    agreement: Measurement
    encode: Measurement
    decode: Measurement


def coded(codec: PictureCodec, picture: Picture, rate: float) -> tuple[Picture, int, float, float]:
    """Encode and decode, with nothing but that inside of the times.

    What is quick is done again, at most five times and for 30 ms: the best counts.

    Returns:
        The decoded picture, the stream's bits, the seconds to encode and to decode.

    Raises:
        DataError: what comes back has another form than the picture.
        EdgepressError: the codec refuses the picture.
    """
    stream, encode = _timed(lambda: codec.encode(picture, rate))
    decoded, decode = _timed(lambda: codec.decode(stream))
    if decoded.shape != picture.shape or decoded.dtype != picture.dtype:
        raise DataError(
            f"{codec.name} makes {decoded.dtype} {decoded.shape} of a picture of {picture.dtype} {picture.shape}"
        )
    return decoded, 8 * len(stream), encode, decode


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    best, spent = math.inf, 0.0
    for _ in range(_MOST_RUNS):
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds), spent + seconds
        if spent > _ENOUGH:
            break
    return result, best


def compare(
    picture: Picture, decoded: Picture, bits: int, encode: float, decode: float, agrees: bool | None
) -> Trial:
    """The trial of a picture and what became of it; arguments as :class:`Trial` names them."""
    rows, columns = picture.shape[:2]
    side = min(rows, columns)
    return Trial(
        rows * columns, bits, psnr_db(picture, decoded),
        ssim(picture, decoded) if side >= WINDOW else None,
        ms_ssim(picture, decoded) if side >= MS_LEAST else None,
        agrees, encode, decode,
    )  # fmt: skip


def point(rate: float, trials: Sequence[Trial], classifier: str) -> Point:
    """What the trials of all pictures at one rate say.

    Args:
        rate: as the codec is told it.
        trials: at least one.
        classifier: what judged, in words; where nothing did, why.
    """
    return Point(
        rate,
        _mean("bits per pixel", "bit/pixel", [trial.bits / trial.pixels for trial in trials], "whole files"),
        _mean("PSNR", "dB", [trial.psnr for trial in trials], "RGB, peak 255"),
        _mean("SSIM", "", [trial.ssim for trial in trials], ABOUT, WINDOW),
        _mean("MS-SSIM", "", [trial.ms_ssim for trial in trials], f"five scales; {ABOUT}", MS_LEAST),
        _agreement([trial.agrees for trial in trials], classifier),
        _speed("encode", [(trial.pixels, trial.encode) for trial in trials]),
        _speed("decode", [(trial.pixels, trial.decode) for trial in trials]),
    )


def _mean(name: str, unit: str, values: Sequence[float | None], how: str, least: int = 1) -> Measurement:
    known = [value for value in values if value is not None]
    if not known:
        reason = f"no picture has {least} rows and columns"
        return Measurement(name, None, unit, "unavailable", reason)
    text = f"mean of {_pictures(len(known))}, {how}"
    if len(known) < len(values):
        text += f"; {_pictures(len(values) - len(known))} smaller than {least} x {least} left out"
    # A sum that is exact does not depend on the order of the pictures.
    return Measurement(name, math.fsum(known) / len(known), unit, "measured", text, min(known), max(known))


def _agreement(values: Sequence[bool | None], classifier: str) -> Measurement:
    known = [value for value in values if value is not None]
    if not known:
        return Measurement("agreement", None, "share", "unavailable", classifier)
    count = sum(known)
    low, high = wilson_interval(count, len(known))
    how = f"{classifier}: same first class as for the original, {_pictures(len(known))}; 95 % Wilson interval"
    return Measurement("agreement", count / len(known), "share", "measured", how, low, high)


def _speed(name: str, runs: Sequence[tuple[int, float]]) -> Measurement:
    each = [pixels / max(seconds, 1e-9) / 1e6 for pixels, seconds in runs]
    value = sum(pixels for pixels, _ in runs) / max(sum(seconds for _, seconds in runs), 1e-9) / 1e6
    how = (
        f"{_pictures(len(runs))}, all pixels over all seconds (the best of up to {_MOST_RUNS} runs of what is quick), "
        "between an array and the bytes of a file, one thread"
    )
    return Measurement(name, value, "megapixel/s", "measured", how, min(each), max(each))


def _pictures(count: int) -> str:
    return f"{count} picture{'s' * (count != 1)}"
