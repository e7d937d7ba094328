"""Try every cut, and say which division of the work is fastest over a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cutting.candidates import Candidate, Halves, Work, find_halves
from edgepress.cutting.crossings import by_kind, fastest, meeting
from edgepress.cutting.device_times import FLOAT, INTEGER, DeviceTimes, estimated_times, time_of
from edgepress.cutting.float_graph import FloatGraph
from edgepress.cutting.options import ALL_DEVICE, ALL_SERVER, NOTHING, SPLIT, Option, end_of
from edgepress.cutting.sent import (
    PICTURE_CODECS,
    Sent,
    map_sent,
    picture_file,
    picture_shape,
    raw_input,
    student_stream,
)
from edgepress.cutting.server_times import HOST, ServerTimes, server_times
from edgepress.cutting.student import StudentWork, student_work
from edgepress.hardware.link import Link
from edgepress.hardware.machine import this_machine
from edgepress.measurement import Measurement
from edgepress.progress import Progress, silent
from edgepress.targets import Target

SLOWEST, FASTEST = 1e5, 1e8
"""Link rates between which crossings are looked for, in bit/s."""


@dataclass(frozen=True)
class Crossing:
    """A link rate at which another division of the work becomes the fastest.

    Attributes:
        rate: in bit/s, with what it would be were the device's times and the estimated bytes at their limits.
        below, above: what is fastest at slower and at faster links.
    """

    rate: Measurement
    below: str
    above: str


@dataclass(frozen=True)
class Decision:
    """What was found.

    Attributes:
        model, target, server: what was asked.
        link: the link that was asked about.
        options: every division of the work for which all figures are known, the fastest first.
        crossings: in rising order of the rate.
        notes: what is not known or was left out, in sentences.
    """

    model: str
    target: str
    server: str
    link: Link
    options: tuple[Option, ...]
    crossings: tuple[Crossing, ...]
    notes: tuple[str, ...]

    def best(self, kind: str) -> Option | None:
        """The fastest option of a kind over the link."""
        return next((one for one in self.options if one.kind == kind), None)


@dataclass(frozen=True)
class Asked:
    """What to decide on.

    Attributes:
        target, server: the boards; a server called ``host`` is measured here.
        link: between them.
        agreement: the share of pictures whose class is to stay the same where what is sent is not exact.
        threads: of the device; 0 takes all of its cores.
        device: measured times of the device, which go before estimates of the same precision.
        files: pictures' files as they were measured, which go before published figures.
    """

    target: Target
    server: Target
    link: Link
    agreement: float = 0.85
    threads: int = 0
    device: DeviceTimes | None = None
    files: tuple[Sent, ...] = ()


def decide(source: FloatGraph, halves: Halves, asked: Asked, progress: Progress = silent) -> Decision:
    """Try every cut of a model.

    Args:
        source: the model.
        halves: its cuts (:func:`halves_of`).
        asked: boards, link and what else to assume.
        progress: told of what is measured.

    Raises:
        SourceError: ONNX Runtime does not take a half that is to be measured.
    """
    picture = picture_shape(source.inputs, source.prepare)
    students = _students(halves, picture, source.module is not None)
    server = server_times(source.graph, halves, students, asked.server, progress)
    times = estimated_times(halves, asked.target, source.name, asked.threads)
    if asked.device is not None:
        times = [asked.device if one.precision == asked.device.precision else one for one in times]
    options = [
        *_all_device(halves, times, asked.target),
        *_all_server(source, picture, server, asked),
        *_split(halves, times, server, asked.target),
        *_with_student(halves, students, picture, server, asked),
    ]
    fitting = [one for one in options if one.known and one.fits is not False]
    fitting.sort(key=lambda one: one.total(asked.link).value or 0.0)
    return Decision(
        source.model, asked.target.name, asked.server.name, asked.link, tuple(fitting),
        crossings_of(fitting, asked.link.delay_s), tuple(_notes(source, halves, options, picture, asked)),
    )  # fmt: skip


def halves_of(source: FloatGraph) -> Halves:
    """The cuts of a model, each with the torch layer that gives its tensor, where there is one."""
    if source.module is None:
        return find_halves(source.graph, {})
    from edgepress.cutting.torch_layers import layers_of_tensors
    from edgepress.graph.cuts import find_cuts

    cuts = find_cuts(source.graph)
    return find_halves(source.graph, layers_of_tensors(source.module, source.graph, source.inputs, cuts))


def crossings_of(options: Sequence[Option], delay_s: float) -> tuple[Crossing, ...]:
    """The link rates at which the kind of the fastest option changes."""
    if not options:
        return ()
    by_name = {one.name: one for one in options}
    found = []
    for rate, below, above in by_kind(fastest([one.road(delay_s) for one in options], SLOWEST, FASTEST)):
        pair = [by_name[each.road.name] for each in (below, above)]
        met = [
            meeting(*(one.road(delay_s, device, size) for one in pair))
            for device in ("low", "high")
            for size in ("low", "high")
        ]
        known = [each for each in met if each is not None]
        how = "where two lines cross; the range is that of the device's times and of the bytes"
        if len(known) < len(met):
            how += "; at some of their limits one is faster at every rate"
        spread = (min([rate, *known]), max([rate, *known]))
        figure = Measurement("link rate", rate, "bit/s", "estimated", how, *spread)
        found.append(Crossing(figure, below.road.name, above.road.name))
    return tuple(found)


def _all_device(halves: Halves, times: Sequence[DeviceTimes], target: Target) -> list[Option]:
    found = []
    for one in times:
        memory = _memory(halves.whole, one.precision)
        found.append(
            Option(
                ALL_DEVICE, f"all-device, {one.precision}", "", "", "", (), None, one.whole, NOTHING, memory,
                _fits(halves.whole, one.precision, target),
            )
        )  # fmt: skip
    return found


def _all_server(
    source: FloatGraph, picture: tuple[int, ...] | None, server: ServerTimes, asked: Asked
) -> list[Option]:
    pixels = picture[1] * picture[2] if picture else 0
    ways = [raw_input(source.inputs, picture is not None)]
    if picture:
        ways += asked.files or [picture_file(codec, asked.agreement, pixels) for codec in PICTURE_CODECS]
    nothing = Measurement("memory", 0.0, "bytes", "estimated", "no network runs there")
    return [
        Option(
            ALL_SERVER, f"all-server, {sent.name}", "", "", "", (), sent, NOTHING, server.whole, nothing, True
        )
        for sent in ways
    ]


def _split(halves: Halves, times: Sequence[DeviceTimes], server: ServerTimes, target: Target) -> list[Option]:
    found = []
    for precision, name, each in ((FLOAT, "float32", 4), (INTEGER, "int8", 1)):
        known = next((one for one in times if one.precision == precision), None)
        if known is None:
            continue
        for one, device, tail in zip(halves.candidates, known.heads, server.tails, strict=True):
            sent = map_sent(name, one.cut.elements, each)
            memory, fits = _memory(one.before, precision), _fits(one.before, precision, target)
            found.append(_option(one, f"split, {name}", sent, device, tail, memory, fits))
    return found


def _students(halves: Halves, picture: tuple[int, ...] | None, torch: bool) -> list[StudentWork | None]:
    """A student for each candidate, where one can be trained, and one whose decoder gives the picture again."""
    if picture is None or not torch:
        return [None] * (len(halves.candidates) + 1)
    behind = [student_work(picture, one.cut.shape[1:]) if one.layer else None for one in halves.candidates]
    return [*behind, student_work(picture, None)]


def _with_student(
    halves: Halves,
    students: Sequence[StudentWork | None],
    picture: tuple[int, ...] | None,
    server: ServerTimes,
    asked: Asked,
) -> list[Option]:
    found: list[Option] = []
    rest: list[tuple[Candidate | None, Measurement]] = [
        *zip(halves.candidates, server.tails, strict=True),
        (None, server.whole),
    ]
    for (one, tail), student, decoder in zip(rest, students, server.decoders, strict=True):
        if student is None or decoder is None or picture is None:
            continue
        work = Work(student.encoder, sum(layer.weight_bytes for layer in student.encoder), _largest(student))
        device = time_of(student.encoder, asked.target, FLOAT, asked.threads)
        sent = student_stream(asked.agreement, picture[1] * picture[2])
        memory, fits = _memory(work, FLOAT), _fits(work, FLOAT, asked.target)
        found.append(_option(one, "split, student", sent, device, _sum(decoder, tail), memory, fits))
    return found


def _option(
    one: Candidate | None,
    curve: str,
    sent: Sent,
    device: Measurement,
    server: Measurement,
    memory: Measurement,
    fits: bool | None,
) -> Option:
    """A split; without a candidate the server begins with the model's input."""
    cut, tensor, layer, map_ = ("the input", "", "", ()) if one is None else (
        one.name, one.cut.tensor, one.layer, one.cut.shape,
    )  # fmt: skip
    return Option(SPLIT, curve, cut, tensor, layer, map_, sent, device, server, memory, fits)


def _largest(student: StudentWork) -> int:
    return max((layer.activation_bytes for layer in student.encoder), default=0)


def _sum(first: Measurement, second: Measurement) -> Measurement:
    """The server's time of a decoder and the tail behind it."""
    if first.value is None or second.value is None:
        return first if first.value is None else second
    low, high = (end_of(first, end) + end_of(second, end) for end in ("low", "high"))
    how = f"the decoder: {first.how}; the rest: {second.how}"
    return Measurement("server time", first.value + second.value, "ms", "estimated", how, low, high)


def _memory(work: Work, precision: str) -> Measurement:
    whole = _bytes(work.weight_bytes, precision) + _bytes(work.activation_bytes, precision)
    how = (
        f"weights {_bytes(work.weight_bytes, precision):,}, and {_bytes(work.activation_bytes, precision):,} of "
        "tensors at the most; the runtime comes on top"
    )
    return Measurement("memory", float(whole), "bytes", "estimated", how)


def _bytes(floats: int, precision: str) -> int:
    return floats // 4 if precision == INTEGER else floats


def _fits(work: Work, precision: str, target: Target) -> bool | None:
    if target.memory_bytes is None:
        return None
    stored = (
        0 if target.kind == "microcontroller" else _bytes(work.weight_bytes, precision)
    )  # which lie in flash
    return stored + _bytes(work.activation_bytes, precision) <= target.memory_bytes


def _notes(
    source: FloatGraph,
    halves: Halves,
    options: Sequence[Option],
    picture: tuple[int, ...] | None,
    asked: Asked,
) -> list[str]:
    found = [f"{source.note}."] if source.note else []
    if not halves.candidates:
        found.append(
            "No place was found where one tensor is all that joins two halves; the model cannot be split."
        )
    missing: dict[str, str] = {}
    for one in options:
        for figure in (one.device, one.server, *([one.sent.bytes] if one.sent else [])):
            if figure.value is None:
                missing.setdefault(figure.how, one.curve)
    found += [f"Left out, {curve} and alike: {why}." for why, curve in missing.items()]
    large = list(dict.fromkeys(one.curve for one in options if one.fits is False))
    if large:
        found.append(f"Left out, since the board's memory is too small: {', '.join(large)}.")
    if picture is None:
        found.append("The model takes no picture, so neither picture files nor a student are considered.")
    elif not any(one.curve == "split, student" for one in options):
        found.append("No student is considered: it needs a torch model and a cut whose map fits its decoder.")
    if asked.server.name == HOST and this_machine().busy:
        found.append("This machine has other work, so the server's times are longer than on a quiet one.")
    found.append(
        "Not counted: making and reading the stream or file, the answer's own bytes, a busy server or link."
    )
    return found
