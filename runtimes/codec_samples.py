"""What codecs encode: arrays of many forms, as samples from −1 to 1 with the channels first, and back.

=================  ================================  ==================  =====================
given              layout                            sample              decoded to
=================  ================================  ==================  =====================
uint8              rows × columns [× channels]       x / 127.5 − 1       uint8, the same layout
uint16             rows × columns [× channels]       x / 32767.5 − 1     uint8, the same layout
int16, one axis    [channels ×] samples              x / 32768           int16, the same layout
int16 else, float  [channels ×] the codec's axes     x (int16 / 32768)   float32, the same layout
=================  ================================  ==================  =====================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.coding.stream import Kind
from edgepress.errors import DataError

Array = np.ndarray[Any, Any]

_BEYOND = 1.0 + 2.0**-10  # what a float may exceed 1 by: rounding, not another range
_WHOLE = {"uint8": (1 / 127.5, 1.0), "uint16": (1 / 32767.5, 1.0), "int16": (1 / 32768, 0.0)}


@dataclass(frozen=True)
class Samples:
    """Something to encode, which is read in pieces.

    Attributes:
        name: what messages call it.
        kind: what it is for the stream.
        shape: as it is decoded to: pictures with their channels last, all else with them first; none for one
            channel that has no axis of its own.
        channels: 1 where they have no axis.
        extents: the codec's axes.
        sampling: Hz of a recording, or 0.
        read: gives ``[channels, n, *other extents]`` from a first to an end along the first axis, as a view or a copy.
        note: what does not come back as it was given, in words.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    channels: int
    extents: tuple[int, ...]
    sampling: int
    read: Callable[[int, int], Array]
    note: str = ""


def samples_of(array: Array, axes: int, name: str = "the array", sampling: int = 0) -> Samples:
    """An array as something to encode; it is not copied. Arguments and errors as for :func:`in_pieces`."""

    def read(axis: int, first: int, end: int) -> Array:
        return array[(slice(None),) * axis + (slice(first, end),)]

    return in_pieces(array.dtype, array.shape, read, axes, name, sampling)


def in_pieces(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    read: Callable[[int, int, int], Array],
    axes: int,
    name: str,
    sampling: int = 0,
) -> Samples:
    """An array that is read in pieces, as something to encode.

    Args:
        dtype, shape: of the whole; of a form that the module's table lists.
        read: gives the elements from a first to an end along an axis: axis, first, end.
        axes: of the codec.
        name: for messages.
        sampling: of a recording, in Hz.

    Raises:
        DataError: it has another type, other axes, or no element.
    """
    kind, last = form(dtype, shape, axes, name)
    note = f"{name} has 16 bits a sample; decoded, it has 8" if dtype.name == "uint16" else ""
    if len(shape) == axes:
        return Samples(
            name, kind, shape, 1, shape, sampling, lambda first, end: read(0, first, end)[None], note
        )
    if last:
        channels, extents = shape[-1], shape[:-1]

        def turned(first: int, end: int) -> Array:
            return np.moveaxis(read(0, first, end), -1, 0)

        return Samples(name, kind, shape, channels, extents, sampling, turned, note)
    return Samples(
        name, kind, shape, shape[0], shape[1:], sampling, lambda first, end: read(1, first, end), note
    )


def form(dtype: np.dtype[Any], shape: tuple[int, ...], axes: int, name: str) -> tuple[Kind, bool]:
    """What an array is for the stream, and whether its channels stand last.

    Raises:
        DataError: it is of no form that the module's table lists.
    """
    if dtype.name not in _WHOLE and dtype.kind != "f":
        raise DataError(
            f"{name} holds {dtype}; give uint8 or uint16 for a picture, int16 for a recording, or floats from -1 to 1"
        )
    last = dtype.kind == "u" and axes > 1
    if len(shape) not in (axes, axes + 1):
        wanted = ("samples", "rows x columns", "frames x rows x columns")[axes - 1]
        channels = f"{wanted} x channels" if last else f"channels x {wanted}"
        raise DataError(f"{name} has the shape {shape}; the codec takes {wanted}, or {channels}")
    if not all(shape):
        raise DataError(f"{name} has the shape {shape}, in which there is nothing to encode")
    if last:
        return "picture", True
    return ("recording" if dtype.name == "int16" and axes == 1 else "array"), False


def convert(name: str) -> Callable[[Array, Array], None]:
    """What writes a block of the samples called ``name`` as float32.

    The call raises DataError where floats are not from −1 to 1, or no numbers.
    """

    def write(block: Array, out: Array) -> None:
        with np.errstate(over="ignore"):  # of doubles that are infinite as floats: refused below
            for given, made in zip(np.broadcast_to(block, out.shape), out, strict=True):
                made[...] = given
        if block.dtype.name in _WHOLE:
            scale, shift = _WHOLE[block.dtype.name]
            out *= np.float32(scale)
            if shift:
                out -= np.float32(shift)
            return
        low, high = float(out.min()), float(out.max())
        if not (low >= -_BEYOND and high <= _BEYOND):  # which a NaN is not, either
            raise DataError(_beyond(name, low, high))

    return write


def _beyond(name: str, low: float, high: float) -> str:
    if np.isnan(low):
        return f"{name} holds a NaN; replace what is no number first"
    return (
        f"{name} holds values from {low:g} to {high:g}; the codec takes floats from -1 to 1, so scale them first "
        "(or give a picture as uint8)"
    )


@dataclass(frozen=True)
class Storage:
    """How decoded samples are kept: uint8 with channels last for a picture, int16 for a recording, float32 else.

    Attributes:
        kind: of the stream.
        channels: that are wanted, 0 for one without an axis; one is the mean of those that were decoded.
    """

    kind: Kind
    channels: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is kept."""
        return np.dtype({"picture": "uint8", "recording": "int16", "array": "float32"}[self.kind])

    def empty(self, extents: tuple[int, ...]) -> tuple[Array, Array]:
        """An array for samples of these extents, and a view of it with the channels first, in an axis of their own."""
        if not self.channels:
            made = np.empty(extents, self.dtype)
            return made, made[None]
        if self.kind == "picture":
            made = np.empty((*extents, self.channels), self.dtype)
            return made, np.moveaxis(made, -1, 0)
        made = np.empty((self.channels, *extents), self.dtype)
        return made, made

    def put(self, block: Array, place: Array) -> None:
        """Write decoded samples, float32 ``[channels, *extents]``, whose content is lost, to a part of such a view."""
        if len(block) > len(place):
            block = block.mean(axis=0, keepdims=True)
        if self.kind != "array":
            low, high = (0, 255) if self.kind == "picture" else (-32768, 32767)
            if self.kind == "picture":
                block += np.float32(1)
            block *= np.float32(127.5 if self.kind == "picture" else 32768)
            np.rint(block, out=block)
            np.clip(block, low, high, out=block)
        for given, kept in zip(block, place, strict=True):
            kept[...] = given
