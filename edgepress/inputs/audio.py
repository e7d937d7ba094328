"""Recordings: PCM WAV files become a waveform from −1 to 1."""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

from edgepress.errors import DataError
from edgepress.inputs.figures import check_figures
from edgepress.tensor import TensorSpec

_NO_RECORDING = (wave.Error, EOFError, ValueError, RuntimeError)


@dataclass(frozen=True)
class AudioInput:
    """A recording, cut or padded with silence at its end to the tensor's last axis.

    Attributes:
        rate: the sampling rate that the network was trained on, in hertz.
        mean, std: the waveform ``x`` becomes ``(x - mean) / std``.
    """

    rate: int
    kind: Literal["audio"] = "audio"
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        """Check the figures.

        Raises:
            ValueError: one of them can serve no recording.
        """
        if self.rate < 1:
            raise ValueError(f"rate must be at least 1 hertz, not {self.rate}")
        check_figures("mean", (self.mean,))
        check_figures("std", (self.std,), divisor=True)

    def from_bytes(self, data: bytes, name: str, tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Decode a PCM WAV file (8, 16, 24 or 32 bits); channels are averaged when the tensor has one.

        Raises:
            DataError: the bytes are no such file, or its sampling rate is another.
        """
        with open_recording(io.BytesIO(data), name) as recording:
            channels, width, rate = (
                recording.getnchannels(),
                recording.getsampwidth(),
                recording.getframerate(),
            )
            frames = read_frames(recording, min(recording.getnframes(), len(data)), name)
        if rate != self.rate:
            raise DataError(
                f"{name} is sampled at {rate} Hz; the model takes {self.rate} Hz: resample it first"
            )
        if width not in (1, 2, 3, 4) or channels < 1:
            raise DataError(f"{name} has {8 * width} bits a sample; convert it to 16-bit WAV")
        frames = frames[: len(frames) - len(frames) % (width * channels)]
        waveform = _samples(frames, width).reshape(-1, channels).T
        return self._fit(waveform, tensor)

    def from_array(self, array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        """Prepare a waveform: float or int16, ``samples`` or ``channels × samples``."""
        if array.ndim not in (1, 2):
            raise DataError(
                f"a waveform has one or two axes (channels x samples), not the shape {array.shape}"
            )
        scaled = array / np.float32(32768) if array.dtype == np.int16 else array
        return self._fit(np.atleast_2d(scaled.astype(np.float32)), tensor)

    def _fit(self, waveform: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
        length = tensor.shape[-1]
        channels = tensor.elements // length
        if waveform.shape[0] != channels:
            waveform = np.broadcast_to(waveform.mean(axis=0, keepdims=True), (channels, waveform.shape[1]))
        kept = waveform[:, :length]
        padded = np.pad(kept, ((0, 0), (0, length - kept.shape[1])))
        values = (padded - np.float32(self.mean)) / np.float32(self.std)
        return values.astype(np.float32).reshape(tensor.shape)


def open_recording(file: BinaryIO, name: str) -> wave.Wave_read:
    """Open a PCM WAV file.

    Raises:
        DataError: it is none.
    """
    try:
        return wave.Wave_read(file)
    except _NO_RECORDING as error:
        raise _no_recording(name, error) from None


def read_frames(recording: wave.Wave_read, count: int, name: str) -> bytes:
    """The next frames, or fewer where the file ends.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return recording.readframes(count)
    except _NO_RECORDING as error:
        raise _no_recording(name, error) from None


def _no_recording(name: str, error: Exception) -> DataError:
    reason = str(error) or "it ends within its header"
    return DataError(f"{name} is no PCM WAV file ({reason}); convert it to 16-bit WAV")


def _samples(frames: bytes, width: int) -> np.ndarray[Any, Any]:
    if width == 1:  # WAV stores 8-bit samples unsigned
        return (np.frombuffer(frames, np.uint8).astype(np.float32) - 128) / 128
    if width == 3:
        parts = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(parts), 4), np.uint8)
        wide[:, 1:] = parts
        return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    return np.frombuffer(frames, f"<i{width}").astype(np.float32) / np.float32(2 ** (8 * width - 1))
