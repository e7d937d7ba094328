"""The ways to divide a model's work between a device and a server, each with its times and bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cutting.candidates import Candidate, Halves, Work
from edgepress.cutting.device_times import FLOAT, INTEGER, DeviceTimes, time_of
from edgepress.cutting.float_graph import FloatGraph
from edgepress.cutting.options import ALL_DEVICE, ALL_SERVER, NOTHING, SPLIT, Option, end_of
from edgepress.cutting.sent import PICTURE_CODECS, Sent, map_sent, picture_file, raw_input, student_stream
from edgepress.cutting.server_times import ServerTimes
from edgepress.cutting.student import StudentWork, student_work
from edgepress.cutting.trained_student import TrainedStudent
from edgepress.errors import UsageError
from edgepress.hardware.link import Link
from edgepress.measurement import Measurement
from edgepress.targets import Target


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
        student: one that is trained, in the place of what one would be like.
    """

    target: Target
    server: Target
    link: Link
    agreement: float = 0.85
    threads: int = 0
    device: DeviceTimes | None = None
    files: tuple[Sent, ...] = ()
    student: TrainedStudent | None = None


def all_device(halves: Halves, times: Sequence[DeviceTimes], target: Target) -> list[Option]:
    """The whole model on the device, in each precision."""
    found = []
    for one in times:
        memory = memory_of(halves.whole, one.precision)
        found.append(
            Option(
                ALL_DEVICE, f"all-device, {one.precision}", "", "", "", (), None, one.whole, NOTHING, memory,
                _fits(halves.whole, one.precision, target),
            )
        )  # fmt: skip
    return found


def all_server(
    source: FloatGraph, picture: tuple[int, ...] | None, server: ServerTimes, asked: Asked
) -> list[Option]:
    """The whole model on the server: the input sent as it is, and as picture files."""
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


def split_maps(
    halves: Halves, times: Sequence[DeviceTimes], server: ServerTimes, target: Target
) -> list[Option]:
    """Each cut, with its map sent in floats and in bytes."""
    found = []
    for precision, name, each in ((FLOAT, "float32", 4), (INTEGER, "int8", 1)):
        known = next((one for one in times if one.precision == precision), None)
        if known is None:
            continue
        for one, device, tail in zip(halves.candidates, known.heads, server.tails, strict=True):
            sent = map_sent(name, one.cut.elements, each)
            memory, fits = memory_of(one.before, precision), _fits(one.before, precision, target)
            found.append(_option(one, f"split, {name}", sent, device, tail, memory, fits))
    return found


def students_of(
    halves: Halves, picture: tuple[int, ...] | None, torch: bool, trained: TrainedStudent | None
) -> list[StudentWork | None]:
    """A student for each candidate, where one can be trained, and one whose decoder gives the picture again.

    Raises:
        UsageError: the server's half of a trained student begins behind no candidate.
    """
    if trained is not None:
        layers = [*(one.layer or None for one in halves.candidates), ""]
        if trained.layer not in layers:
            raise UsageError(
                f"the student's server goes on behind {trained.layer}, which is no place that was found to cut at; "
                "leave --student out"
            )
        return [trained.work if layer == trained.layer else None for layer in layers]
    if picture is None or not torch:
        return [None] * (len(halves.candidates) + 1)
    behind = [student_work(picture, one.cut.shape[1:]) if one.layer else None for one in halves.candidates]
    return [*behind, student_work(picture, None)]


def with_student(
    halves: Halves,
    students: Sequence[StudentWork | None],
    picture: tuple[int, ...] | None,
    server: ServerTimes,
    asked: Asked,
) -> list[Option]:
    """Each cut with a student before it, and one whose decoder gives the input again."""
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
        own = asked.student.sent if asked.student is not None else None
        sent = own or student_stream(asked.agreement, picture[1] * picture[2])
        memory, fits = memory_of(work, FLOAT), _fits(work, FLOAT, asked.target)
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


def memory_of(work: Work, precision: str) -> Measurement:
    """What a device needs for a network, in bytes."""
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
