"""End to end, from a picture's samples to the answer, over links: real processes at both ends, a relay between them."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.evaluate.as_sent import write_as_sent
from edgepress.evaluate.child_lines import ChildLines
from edgepress.evaluate.crossings import Crossing, crossings
from edgepress.evaluate.sender import CodecSender, Sender, WholeSender
from edgepress.evaluate.server_process import server_process
from edgepress.evaluate.split_points import SentCurve
from edgepress.evaluate.teacher import Teacher
from edgepress.hardware.link import Link
from edgepress.hardware.machine import this_machine
from edgepress.hardware.measure import interval
from edgepress.hardware.relay_process import RelayProcess, relay_process
from edgepress.measurement import Measurement, Origin
from edgepress.progress import Progress, silent
from edgepress.records import encode

HERE = "measured on this machine"


@dataclass(frozen=True)
class DeviceTime:
    """The time that a device takes for its share, in place of this machine's.

    Attributes:
        ms: of one picture.
        origin: of the figure.
        how: where it comes from.
    """

    ms: float
    origin: Origin
    how: str


@dataclass(frozen=True)
class LatencyPoint:
    """A sender over one link.

    Attributes:
        bits_per_s: of the link.
        latency: from the picture's samples to the answer, the median of the runs.
    """

    bits_per_s: float
    latency: Measurement


@dataclass(frozen=True)
class LatencyCurve:
    """A sender over all links.

    Attributes:
        sender: its name.
        rate: that it was used at.
        agreement: with the teacher at that rate, over all pictures.
        bytes: of a body, the mean over the runs.
        device: the device's share.
        server: the server's share, as it says.
        points: in rising order of the links' rates.
    """

    sender: str
    rate: float
    agreement: float
    bytes: float
    device: Measurement
    server: Measurement
    points: tuple[LatencyPoint, ...]


@dataclass(frozen=True)
class Latencies:
    """What was found over links.

    Attributes:
        delay_ms: of a round trip over every link.
        pictures: runs of each sender over each link.
        machine: where it was measured.
        curves: the sender's own first.
        crossings: of the sender's curve with each other.
    """

    delay_ms: float
    pictures: int
    machine: str
    curves: tuple[LatencyCurve, ...]
    crossings: tuple[Crossing, ...]


def measure_latencies(
    senders: Sequence[Sender],
    curves: Sequence[SentCurve],
    teacher: Teacher,
    pictures: Sequence[Path],
    links: Sequence[Link],
    agreement: float,
    *,
    device_times: Mapping[str, DeviceTime] | None = None,
    engine: str | None = None,
    trust: bool = False,
    progress: Progress = silent,
) -> Latencies:
    """Run every sender over every link, picture by picture in turns.

    The first sender is used at the least rate that reaches ``agreement`` (its last one where none does), each other at
    the fewest bytes that reach the agreement of the first.

    Args:
        senders: the one under test first.
        curves: of them, on more pictures than these.
        teacher: on the server behind picture codecs.
        pictures: to run on.
        links: to run over, all with the same delay.
        device_times: by sender's name, what replaces the device's share.
        engine, trust: for the first sender's bundle.
        progress: told of each link and picture.

    Raises:
        EdgepressError: a process does not start, or no answer comes.
    """
    places = [_place(curves[0], agreement)]
    reached = curves[0].points[places[0]].agreement.value or 0.0
    places += [_place(one, reached) for one in curves[1:]]
    links = sorted(links, key=lambda link: link.bits_per_s)
    with ExitStack() as stack:
        ends = _Ends(stack, links[-1], teacher)
        runs = [
            _Runs(ends, sender, sender.rates[place], pictures, None if index else engine, trust)
            for index, (sender, place) in enumerate(zip(senders, places, strict=True))
        ]
        for number, link in enumerate(links):
            for relay in ends.relays:
                relay.set_link(link)
            for picture in range(len(pictures)):
                for run in runs:
                    progress(
                        number * len(pictures) + picture,
                        len(links) * len(pictures),
                        f"{link}, {run.sender.name}",
                    )
                    run.once(link, picture)
    found = tuple(
        run.curve(one.points[place].agreement.value or 0.0, (device_times or {}).get(run.sender.name))
        for run, one, place in zip(runs, curves, places, strict=True)
    )
    return Latencies(
        1e3 * links[0].delay_s, len(pictures), str(this_machine()), found,
        tuple(crossings(_line(found[0]), _line(one)) for one in found[1:]),
    )  # fmt: skip


class _Ends:
    """The servers and the relays before them: one for each bundle."""

    def __init__(self, stack: ExitStack, link: Link, teacher: Teacher) -> None:
        self.stack, self._link, self._teacher = stack, link, teacher
        self.relays: list[RelayProcess] = []
        self._urls: dict[str, str] = {}

    def url(self, sender: Sender, engine: str | None, trust: bool) -> str:
        """Where a sender sends to; empty where it needs no server."""
        if isinstance(sender, WholeSender):
            return ""
        if isinstance(sender, CodecSender):
            folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
            teacher = self._teacher.session
            return self._served(
                "", lambda: write_as_sent(teacher.bundle, teacher.part_name, folder / "teacher.edge")
            )
        assert sender.session is not None
        path = sender.session.bundle.path
        return self._served(str(path), lambda: path, engine, trust)

    def _served(self, name: str, bundle: Any, engine: str | None = None, trust: bool = False) -> str:
        if name not in self._urls:
            address = self.stack.enter_context(server_process(bundle(), engine=engine, trust=trust))
            relay = self.stack.enter_context(relay_process(self._link, address))
            self.relays.append(relay)
            self._urls[name] = relay.url
        return self._urls[name]


class _Runs:
    """One sender's device process, and what its runs took."""

    def __init__(
        self,
        ends: _Ends,
        sender: Sender,
        rate: float,
        pictures: Sequence[Path],
        engine: str | None,
        trust: bool,
    ) -> None:
        self.sender, self.rate = sender, rate
        self._url = ends.url(sender, engine, trust)
        self._child = ends.stack.enter_context(ChildLines("edgepress.evaluate.device_process"))
        about: dict[str, Any] = {"pictures": [str(path.absolute()) for path in pictures], "rate": rate}
        if isinstance(sender, CodecSender):
            teacher = sender.teacher
            about |= {
                "codec": sender.name, "prepare": encode(teacher.kind), "size": [teacher.rows, teacher.columns]
            }  # fmt: skip
        else:
            assert sender.session is not None
            about |= {"bundle": str(sender.session.bundle.path), "engine": engine, "trust": trust}
        self._child.ask({"open": about})
        self._ask(0)  # the first answer pays for loading and for the connection
        self._found: dict[Link, list[dict[str, Any]]] = {}

    def once(self, link: Link, picture: int) -> None:
        """One picture over the link as it is."""
        self._found.setdefault(link, []).append(self._ask(picture))

    def curve(self, agreement: float, device: DeviceTime | None) -> LatencyCurve:
        """All runs together."""
        every = [one for runs in self._found.values() for one in runs]
        share = _median("device", [one["device_ms"] for one in every], f"{HERE}, one thread")
        if device is not None:
            share = Measurement("device", device.ms, "ms", device.origin, device.how)
        server = _median(
            "server", [one["server_ms"] for one in every], f"{HERE}, one thread, as the server says"
        )
        return LatencyCurve(
            self.sender.name, self.rate, agreement, statistics.fmean(one["bytes"] for one in every), share, server,
            tuple(LatencyPoint(link.bits_per_s, _latency(runs, device)) for link, runs in self._found.items()),
        )  # fmt: skip

    def _ask(self, picture: int) -> dict[str, Any]:
        return self._child.ask({"picture": picture, "url": self._url})


def _latency(runs: Sequence[Mapping[str, Any]], device: DeviceTime | None) -> Measurement:
    how = f"{HERE}, through the relay, on a connection that is open"
    if device is None:
        return _median("latency", [one["total_ms"] for one in runs], how)
    rest = [one["total_ms"] - one["device_ms"] + device.ms for one in runs]
    found = _median("latency", rest, "")
    origin: Origin = "measured" if device.origin == "measured" else "estimated"
    how = f"{device.ms:.4g} ms of the device ({device.origin}: {device.how}) and the rest {how}"
    return Measurement(found.name, found.value, "ms", origin, how, found.low, found.high)


def _median(name: str, values: Sequence[float], how: str) -> Measurement:
    low, high = interval(values)
    text = f"median of {len(values)} runs with its 95 % interval; {how}"
    return Measurement(name, statistics.median(values), "ms", "measured", text, low, high)


def _line(curve: LatencyCurve) -> tuple[str, list[tuple[float, float]]]:
    return curve.sender, [(point.bits_per_s, point.latency.value or 0.0) for point in curve.points]


def _place(curve: SentCurve, agreement: float) -> int:
    """The index of the fewest bytes that reach an agreement; of the best one where none does."""
    shares = [point.agreement.value or 0.0 for point in curve.points]
    sizes = [point.bytes.value or 0.0 for point in curve.points]
    reach = [index for index, share in enumerate(shares) if share >= agreement]
    return (
        min(reach, key=lambda index: sizes[index])
        if reach
        else max(range(len(shares)), key=lambda i: shares[i])
    )
