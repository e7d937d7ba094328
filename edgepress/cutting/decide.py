"""Try every cut, and say which division of the work is fastest over a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cutting.candidates import Halves, find_halves
from edgepress.cutting.crossings import by_kind, fastest, meeting
from edgepress.cutting.device_times import FLOAT, INTEGER, accelerated, estimated_times
from edgepress.cutting.divisions import (
    Asked,
    all_device,
    all_server,
    memory_of,
    split_maps,
    students_of,
    with_student,
)
from edgepress.cutting.float_graph import FloatGraph
from edgepress.cutting.options import ALL_DEVICE, Option
from edgepress.cutting.sent import picture_shape
from edgepress.cutting.server_times import HOST, server_times
from edgepress.hardware.link import Link
from edgepress.hardware.machine import this_machine
from edgepress.measurement import Measurement
from edgepress.progress import Progress, silent

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
        again: what to write behind a command's name to mean the model again; empty for a bundle.
        link: the link that was asked about.
        options: every division of the work for which all figures are known and the board's memory suffices, the
            fastest first; everything on the device is among them even where it does not fit.
        crossings: in rising order of the rate.
        notes: what is not known or was left out, in sentences.
    """

    model: str
    again: str
    target: str
    server: str
    link: Link
    options: tuple[Option, ...]
    crossings: tuple[Crossing, ...]
    notes: tuple[str, ...]

    def best(self, kind: str) -> Option | None:
        """The fastest option of a kind over the link."""
        return next((one for one in self.fitting if one.kind == kind), None)

    @property
    def fitting(self) -> tuple[Option, ...]:
        """The options for which the board's memory suffices, as far as it is known."""
        return tuple(one for one in self.options if one.fits is not False)


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
    students = students_of(halves, picture, source.module is not None, asked.student)
    server = server_times(source.graph, halves, students, asked.server, progress)
    times = estimated_times(halves, asked.target, source.name, asked.threads)
    if asked.device is not None:
        times = [asked.device if one.precision == asked.device.precision else one for one in times]
    options = [
        *all_device(halves, times, asked.target),
        *all_server(source, picture, server, asked),
        *split_maps(halves, times, server, asked.target),
        *with_student(halves, students, picture, server, asked),
    ]
    kept = [one for one in options if one.known and (one.fits is not False or one.kind == ALL_DEVICE)]
    kept.sort(key=lambda one: one.total(asked.link).value or 0.0)
    fitting = [one for one in kept if one.fits is not False]
    return Decision(
        source.model, source.again, asked.target.name, asked.server.name, asked.link, tuple(kept),
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
    if any(accelerated(one.device.how) for one in options):
        found.append(
            "Published times of a GPU or an NPU are not those of edgepress' engines, which run on the CPU."
        )
    if asked.target.memory_bytes is None:
        whole = ", ".join(
            f"{(memory_of(halves.whole, precision).value or 0) / 1e6:.1f} MB in {precision}"
            for precision in (FLOAT, INTEGER)
        )
        found.append(
            f"The memory of {asked.target.name} is not known; the whole model needs {whole}, weights and tensors "
            f'together. A file of your own with base = "{asked.target.name}" tells clock and memory.'
        )
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
