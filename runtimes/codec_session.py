"""A loaded codec: pictures, recordings and arrays to streams, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgepress.bundle import Bundle
from edgepress.coding import whole
from edgepress.coding.coder import OpenCoder
from edgepress.coding.description import DECODER, ENCODER, LEVELS, read_levels
from edgepress.coding.stream import MOST_HEADER, Header, find_chunks, read_header
from edgepress.errors import DataError
from edgepress.runtimes.choose import choose
from edgepress.runtimes.codec_coders import RateCoders
from edgepress.runtimes.codec_decoding import (
    Decoding,
    Recovered,
    Stream,
    decoding,
    is_stream,
    nothing_left,
    stream_bytes,
)
from edgepress.runtimes.codec_encode import code_bands
from edgepress.runtimes.codec_files import opened
from edgepress.runtimes.codec_form import CodecForm, form_of
from edgepress.runtimes.codec_networks import Networks
from edgepress.runtimes.codec_run import TileRun
from edgepress.runtimes.codec_samples import Array, Samples, samples_of
from edgepress.runtimes.codec_stream import as_rows, layout
from edgepress.runtimes.session import Session

Value = Array | str | Path | bytes | bytearray | memoryview


class CodecSession(Session):
    """A loaded codec; several threads may use it, and their tiles take turns.

    Its :meth:`run` runs the graph of one part on one tile: the encoder's, where the bundle has one.

    Attributes:
        name: of the codec.
        codec: its sizes, its rates, its identity.
    """

    def __init__(self, bundle: Bundle, engine: str | None, trust: bool, threads: int | None) -> None:
        parts = bundle.manifest.parts
        part = ENCODER if ENCODER in parts else DECODER
        choice = choose(bundle, part, engine, trust)
        super().__init__(bundle, part, choice, choice.start(bundle, part, threads))
        where, tables = str(bundle.path), parts[part].tables
        codec = bundle.codec(part)
        assert codec is not None
        levels = read_levels(bundle.member(tables[LEVELS]), codec, where)
        self.name, self.codec = bundle.manifest.name, codec
        self._form = CodecForm(self.name, codec, levels)
        self._threads = threads
        self._networks = Networks(bundle, self._form, engine, trust, threads)
        self._networks.add(part, choice, self._check_open())
        self._coders = RateCoders(bundle, tables, codec.latents)

    def encode(self, value: Value, rate: int | float | None = None, *, sampling: int = 0) -> bytes:
        """The stream of a picture, a recording or an array.

        Args:
            value: a path, a file's bytes, or an array: uint8 or uint16 ``rows x columns (x channels)`` for a picture,
                int16 ``(channels x) samples`` for a recording, or floats from -1 to 1, channels first. One channel
                serves a codec of several: it is repeated, and decoded to one again.
            rate: an index into ``codec.rates``, or as a float bits for each pixel, to the nearest rate; None takes the
                rate whose step is nearest to 1.
            sampling: of a recording that is an array, in Hz; files tell their own.

        Raises:
            DataError: the value cannot be read, or does not fit the codec.
            UsageError: no such rate, no encoder in this bundle, or the session is closed.
        """
        with self.samples(value, sampling=sampling) as samples:
            return b"".join(self.pieces(samples, rate))

    @contextlib.contextmanager
    def samples(self, value: Value, background: str = "", *, sampling: int = 0) -> Iterator[Samples]:
        """A value as something to encode; files are read in pieces while they are open here.

        Args:
            value, sampling: as for :meth:`encode`.
            background: the colour that a transparent picture is laid on; none refuses it.

        Raises:
            DataError: as for :meth:`encode`.
        """
        if isinstance(value, np.ndarray):
            yield samples_of(value, self.codec.axes, sampling=sampling)
        elif isinstance(value, (str, Path, bytes, bytearray, memoryview)):
            with opened(value, self.codec.axes, background) as samples:
                yield samples
        else:
            raise DataError(
                f"a codec encodes a path, a file's bytes or a NumPy array, not {type(value).__name__}"
            )

    def pieces(self, samples: Samples, rate: int | float | None = None) -> Iterator[bytes]:
        """A stream piece by piece, so that nothing large is in memory; arguments and errors as for :meth:`encode`."""
        index = self._form.rate(rate)
        self._form.check_channels(samples.channels, samples.name)
        codes = self._form.codes(samples.extents)
        rows, columns = layout(codes)
        unit = codes[1] if len(codes) == 3 else 1
        step = (
            max(1, whole.step_of(self.codec.latents, rows, columns) // unit) * unit
        )  # whole frames of a volume
        try:
            header = Header(
                self.codec.identity_bytes, samples.kind, index, self.codec.latents, rows, columns, samples.shape,
                samples.sampling, step,
            )  # fmt: skip
        except ValueError as error:
            raise DataError(f"{samples.name} is too large for one stream ({error}); cut it up") from None
        bands = map(as_rows, code_bands(self._form, self._network(ENCODER, samples.extents), samples, index))
        return whole.encode_blocks(header, bands, self._coder(index), self._threads or 1)

    def latents(self, value: Value, rate: int | float | None = None, *, integers: bool = False) -> Array:
        """What the decoder would see: for learning on compressed data, without decoding it.

        Args:
            value: as for :meth:`encode`; or a stream, of which no network is run at all.
            rate: as for :meth:`encode`; a stream has its own.
            integers: give the integers that are sent, int16, in place of the levels they stand for.

        Returns:
            float32 ``[latents, *codes along each axis]``.

        Raises:
            DataError: as for :meth:`encode` and :meth:`decode`.
        """
        found, index = self._integers(value, rate)
        if integers:
            return found
        levels = np.empty(found.shape, np.float32)
        self._form.restore(index, found, levels)
        return levels

    def decode(self, stream: Stream) -> Array:
        """What a stream holds.

        Args:
            stream: its bytes, or the path of a file.

        Returns:
            uint8 for a picture, int16 for a recording, float32 else, of the shape that was encoded.

        Raises:
            DataError: it is no stream, one of another codec, or damaged; :meth:`recover` gives what is left.
            UsageError: no decoder in this bundle, or the session is closed.
        """
        recovered = self.recover(stream)
        if recovered.damage:
            raise DataError(f"{recovered.damage}; recover() gives the others")
        return recovered.array

    def recover(self, stream: Stream) -> Recovered:
        """What a stream holds, however much of it is damaged; arguments and errors as for :meth:`decode`.

        Raises:
            DataError: as for :meth:`decode`, where the header is damaged, or nothing else than it is left.
        """
        with stream_bytes(stream) as data:
            return self.decoding(data).whole()

    def decoding(self, data: bytes) -> Decoding:
        """A stream to be decoded piece by piece; errors as for :meth:`recover`, some of them with the pieces."""
        header = self.header(data)
        if not find_chunks(data, header):  # of what may be large, no tile need be decoded for that
            raise nothing_left()
        blocks = whole.decode_blocks(data, header, self._coder(header.rate), self._threads or 1)
        extents, _ = form_of(header, self.codec.axes)
        return decoding(self._form, self._network(DECODER, extents), header, blocks)

    def header(self, data: bytes) -> Header:
        """The header of one of this codec's streams.

        Raises:
            DataError: it is no stream, or one of another codec.
        """
        header = read_header(data[:MOST_HEADER])
        self._form.check(header)
        return header

    def close(self) -> None:
        """Let the engines, the coders and the file go; closing twice does nothing more."""
        self._networks.close()
        self._coders.clear()
        super().close()

    def _network(self, part: str, extents: tuple[int, ...]) -> TileRun:
        self._check_open()
        return self._networks.run(part, extents)

    def _integers(self, value: Value, rate: int | float | None) -> tuple[Array, int]:
        if not isinstance(value, np.ndarray) and is_stream(value):
            with stream_bytes(value) as data:
                header = self.header(data)
                found = whole.decode(data, header, self._coder(header.rate), self._threads or 1)
            if found.lost:
                raise DataError(f"{found.says()}; get the stream again")
            extents, _ = form_of(header, self.codec.axes)
            return found.values.reshape(self.codec.latents, *self._form.codes(extents)), header.rate
        index = self._form.rate(rate)
        with self.samples(value) as samples:
            self._form.check_channels(samples.channels, samples.name)
            return np.concatenate(
                list(code_bands(self._form, self._network(ENCODER, samples.extents), samples, index)), 1
            ), index

    def _coder(self, rate: int) -> OpenCoder:
        self._check_open()
        return self._coders.opener(rate)
