"""A loaded split network: a device's half that turns an input into a stream, and the server's that answers one."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepress.bundle import Bundle
from edgepress.coding import whole
from edgepress.coding.coder import OpenCoder
from edgepress.coding.split import (
    DEVICE,
    LOCAL,
    SERVER,
    SPLIT,
    STEPS,
    integers,
    read_steps,
    server_input,
    stream_header,
)
from edgepress.coding.stream import MOST_HEADER, Header, read_header
from edgepress.errors import BundleError, DataError, OtherStreamError, UsageError
from edgepress.inputs import Value
from edgepress.records import near
from edgepress.runtimes.choose import choose
from edgepress.runtimes.codec_coders import RateCoders
from edgepress.runtimes.session import Result, Session

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class SplitResult(Result):
    """What one run of a split network gave.

    Attributes:
        rate: the index of the rate.
        sent: bytes of the stream; None where none was made.
    """

    rate: int = 0
    sent: int | None = None


class SplitSession(Session):
    """A loaded split network, or the parts of one that a bundle holds; several threads may use it.

    Attributes:
        name: of the network.
        split: its sizes, its rates, its identity.
        steps: float32 ``[rates, latents]``.
    """

    def __init__(self, bundle: Bundle, engine: str | None, trust: bool, threads: int | None) -> None:
        parts = bundle.manifest.parts
        part = split_parts(bundle)[0]
        choice = choose(bundle, part, engine, trust)
        super().__init__(bundle, part, choice, choice.start(bundle, part, threads))
        where, tables = str(bundle.path), parts[part].tables
        split = bundle.split(part)
        assert split is not None
        self.name, self.split = bundle.manifest.name, split
        self.steps: Array = read_steps(bundle.member(tables[STEPS]), split, where)
        self._asked, self._trust, self._threads = engine, trust, threads
        self._choices = {name: choose(bundle, name, engine, trust) for name in split_parts(bundle)}
        self._networks: dict[str, Session] = {part: Session(bundle, part, choice, self._check_open())}
        self._coders = RateCoders(bundle, tables, split.latents)
        self._lock = threading.RLock()
        for name in (DEVICE, *split.heads):
            if name in parts:
                self._check_form(name)
        self.note = "; ".join(
            f"{name}: {chosen.note}" for name, chosen in self._choices.items() if chosen.note
        )

    def encode(self, value: Value | Mapping[str, Value], rate: int | None = None) -> bytes:
        """The stream of an input, by the part ``device``.

        Args:
            value: what the input is made from, as for :meth:`Session.run`.
            rate: an index into ``split.rates``, from the fewest bytes to the most; None takes the last one.

        Raises:
            DataError: the input is damaged, or does not fit.
            UsageError: no such rate, no part ``device`` in this bundle, or the session is closed.
        """
        index = self.rate(rate)
        return self.stream(self.integers(value, index), index)

    def answer(self, stream: bytes, head: str = SERVER, count: int = 5) -> SplitResult:
        """What the server makes of a stream.

        Args:
            stream: its bytes.
            head: the part that answers.
            count: how many classes to name.

        Raises:
            DataError: it is no stream, or a damaged one; an :class:`~edgepress.errors.OtherStreamError` where it is
                another student's.
            UsageError: no such head in this bundle, or the session is closed.
        """
        network = self.network(head)
        header = self.header(stream)
        found = whole.decode(stream, header, self._coder(header.rate))
        if found.lost:
            raise DataError(f"the stream is damaged: {found.says()}; send it again")
        if int(np.abs(found.values, dtype=np.int32).max()) > self.split.highest:
            raise DataError("the stream is damaged: it holds integers that no encoder sends; send it again")
        return self._answer(network, found.values, header.rate, count, len(stream))

    def run(
        self,
        value: Value | Mapping[str, Value],
        count: int = 5,
        *,
        rate: int | None = None,
        head: str = SERVER,
    ) -> SplitResult:
        """Both halves in this process, through the integers that would be sent.

        Arguments and errors are those of :meth:`encode` and :meth:`answer`.
        """
        network, index = self.network(head), self.rate(rate)
        return self._answer(network, self.integers(value, index), index, count)

    def integers(self, value: Value | Mapping[str, Value], rate: int) -> Array:
        """What is sent, int16 ``[latents, rows, columns]``; errors as for :meth:`encode`."""
        device, split = self.network(DEVICE), self.split
        (name,) = (tensor.name for tensor in device.part.outputs)
        latents = device.run_tensors(device.prepare(value))[name]
        if latents.shape != (1, split.latents, split.rows, split.columns):
            raise BundleError(
                f"the device's graph in {self.bundle.path} gives no such latents; build the bundle again"
            )
        return integers(latents[0], self.steps[rate], split.highest)

    def stream(self, sent: Array, rate: int) -> bytes:
        """The stream of int16 ``[latents, rows, columns]`` at a rate, an index."""
        return whole.encode(stream_header(self.split, rate), sent, self._coder(rate))

    def header(self, stream: bytes) -> Header:
        """The header of one of this network's streams; nothing else of it is looked at.

        Raises:
            DataError: it is no stream, or not this network's; see :meth:`answer`.
        """
        split, header = self.split, read_header(bytes(stream[:MOST_HEADER]))
        if header.identity != split.identity_bytes:
            raise OtherStreamError(
                f"the stream was made by another student ({header.identity.hex()}), not by {self.name} "
                f"({split.identity}); encode with the device part of this one"
            )
        sent = (header.channels, header.rows, header.columns)
        fits = sent == (split.latents, split.rows, split.columns) and header.shape == split.shape
        if not fits or header.kind != "array" or header.rate >= len(split.rates):
            raise DataError(
                f"the stream's header does not fit the student {self.name} that it names; encode again"
            )
        return header

    def network(self, part: str) -> Session:
        """One of the parts as a session of its own, such as ``local``; it ends with this one.

        Raises:
            UsageError: the bundle does not hold it; the message says what it holds.
        """
        self._check_open()
        parts = self.bundle.manifest.parts
        if part not in parts:
            known = (DEVICE, *self.split.heads, LOCAL)
            hint = "take the bundle that holds it" if part in known else f"it has {', '.join(parts)}"
            raise UsageError(
                f"{self.bundle.path} holds no part {part}{near(part, parts)}; {hint}{_MISSING.get(part, '')}"
            )
        with self._lock:
            if part not in self._networks:
                choice = self._choices.get(part) or choose(self.bundle, part, self._asked, self._trust)
                engine = choice.start(self.bundle, part, self._threads)
                self._networks[part] = Session(self.bundle, part, choice, engine)
            return self._networks[part]

    def rate(self, asked: int | None) -> int:
        """The index of the rate that is meant; errors as for :meth:`encode`."""
        count = len(self.split.rates)
        if asked is None:
            return count - 1
        if isinstance(asked, bool) or not isinstance(asked, (int, np.integer)) or not 0 <= asked < count:
            raise UsageError(f"{self.name} has no rate {asked!r}; it has 0 to {count - 1}")
        return int(asked)

    def close(self) -> None:
        """Let the engines, the coders and the file go; closing twice does nothing more."""
        for network in self._networks.values():
            network.close()
        self._networks.clear()
        self._coders.clear()
        super().close()

    def _answer(
        self, network: Session, values: Array, rate: int, count: int, sent: int | None = None
    ) -> SplitResult:
        (tensor,) = network.part.inputs
        taken = server_input(values, self.steps[rate], self.split.rates[rate].plane)
        found = network.run({tensor.name: taken}, count)
        return SplitResult(found.outputs, found.labels, rate=rate, sent=sent)

    def _coder(self, rate: int) -> OpenCoder:
        self._check_open()
        return self._coders.opener(rate)

    def _check_form(self, name: str) -> None:
        """Refuse a bundle whose graphs do not take and give what its record says."""
        split, part = self.split, self.bundle.manifest.parts[name]
        sent, one = (split.rows, split.columns), len(part.inputs) == 1 and len(part.outputs) >= 1
        if name == DEVICE:
            fits = one and (part.inputs[0].shape, part.outputs[0].shape) == (
                (1, *split.shape),
                (1, split.latents, *sent),
            )
            fits = fits and len(part.outputs) == 1
        else:
            fits = one and part.inputs[0].shape == (1, split.latents + 1, *sent)
        if not fits:
            raise BundleError(
                f"the part {name} of {self.bundle.path} is not as its split says; build the bundle again"
            )


_MISSING = {
    SERVER: ", or name a server that answers: --server URL, load(…, server=URL)",
    DEVICE: ", for what encodes is the device's",
}


def split_parts(bundle: Bundle) -> list[str]:
    """The parts of a bundle that belong to a split network, the device's first; empty where there are none.

    A bundle of a split network's may hold ``local`` beside them.
    """
    parts = bundle.manifest.parts
    found = [name for name, part in parts.items() if SPLIT in part.tables]
    if not found or set(parts) - {*found, LOCAL} or LOCAL in found:
        return []
    return sorted(found, key=lambda name: (name != DEVICE, name != SERVER))
