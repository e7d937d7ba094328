"""What the server's half takes: measured where this machine is the server, else estimated for its board."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.cost import LayerCost
from edgepress.cutting.candidates import Halves
from edgepress.cutting.device_times import FLOAT, time_of
from edgepress.cutting.student import StudentWork
from edgepress.errors import SourceError
from edgepress.hardware.engine_estimate import usual_peak
from edgepress.hardware.estimate import estimate_latency
from edgepress.hardware.hwbench import Peaks
from edgepress.hardware.machine import this_machine
from edgepress.measurement import Measurement
from edgepress.progress import Progress
from edgepress.targets import Target

if TYPE_CHECKING:
    import onnx

HOST = "host"
_NAME = "server time"
_WARMUP, _LEAST, _MOST, _SECONDS = 2, 5, 50, 0.15
_USUAL_ERROR = 3.0


@dataclass(frozen=True)
class ServerTimes:
    """Times on the server, in fp32.

    Attributes:
        whole: of the whole model.
        tails: of each candidate the server's half.
        decoders: of each student's decoder; None where there is none.
    """

    whole: Measurement
    tails: tuple[Measurement, ...]
    decoders: tuple[Measurement | None, ...]


def server_times(
    graph: onnx.ModelProto,
    halves: Halves,
    students: Sequence[StudentWork | None],
    server: Target,
    progress: Progress,
) -> ServerTimes:
    """Of the whole model and of what follows each candidate.

    Args:
        graph: the float graph.
        halves: the work.
        students: whose decoders are timed too.
        server: the board; ``host`` is measured, on all cores, through ONNX Runtime and a decoder in torch.
        progress: told of each candidate.

    Raises:
        SourceError: ONNX Runtime does not take the graph.
    """
    if server.name != HOST:
        return ServerTimes(
            _estimate(halves.whole.layers, server),
            tuple(_estimate(one.after.layers, server) for one in halves.candidates),
            tuple(None if one is None else _estimate(one.decoder, server) for one in students),
        )
    count = len(halves.candidates) + 1
    progress(0, count, "the whole model")
    whole = _measured(graph)
    tails = []
    for number, one in enumerate(halves.candidates, 1):
        progress(number, count, one.name)
        tails.append(_measured(_tail(graph, one.cut.tensor)))
    decoders: dict[StudentWork, Measurement] = {}
    for student in students:
        if student is not None and student not in decoders:
            progress(count - 1, count, "a student's decoder")
            decoders[student] = _decoder(student)
    return ServerTimes(whole, tuple(tails), tuple(decoders[each] if each else None for each in students))


def _estimate(layers: Sequence[LayerCost], server: Target) -> Measurement:
    figure = time_of(layers, server, FLOAT)
    if figure.value is None and server.cpu.arch == "x86_64":
        peaks = Peaks("", server.cpu.vector_bits // 8, "", (usual_peak(server),))
        value = estimate_latency(layers, server, threads=1, peaks=peaks).value or 0.0
        how = (
            f"roofline of one core at 3 GHz, as {server.name} does not say what its own is; may be off by a factor of "
            f"{_USUAL_ERROR:g} either way"
        )
        figure = Measurement(_NAME, value, "ms", "estimated", how, value / _USUAL_ERROR, value * _USUAL_ERROR)
    return dataclasses.replace(figure, name=_NAME)


def _decoder(student: StudentWork) -> Measurement:
    import torch

    module, given = student.make().eval(), torch.zeros(student.taken)
    with torch.inference_mode():
        return _timed(lambda: module(given), "a decoder of that form with random weights, torch")


def _tail(graph: onnx.ModelProto, tensor: str) -> onnx.ModelProto:
    """What follows a tensor, as a model of its own."""
    import onnx

    outputs = [item.name for item in graph.graph.output]
    return onnx.utils.Extractor(graph).extract_model([tensor], outputs)


def _measured(model: onnx.ModelProto) -> Measurement:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feed = {item.name: _example(item) for item in session.get_inputs()}
        return _timed(lambda: session.run(None, feed), "ONNX Runtime")
    except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(f"ONNX Runtime does not run the server's half: {cause}") from None


def _timed(work: Callable[[], object], by: str) -> Measurement:
    """Median milliseconds of some runs, with the tenth and the ninetieth percentile."""
    for _ in range(_WARMUP):
        work()
    times: list[float] = []
    while len(times) < _LEAST or (len(times) < _MOST and sum(times) < _SECONDS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    machine = this_machine()
    busy = ", busy with other work" if machine.busy else ""
    how = f"median of {len(times)} runs, {by}, {machine.cores} cores of {machine.cpu}{busy}"
    low, high = (float(np.quantile(times, at)) * 1e3 for at in (0.1, 0.9))
    return Measurement(_NAME, statistics.median(times) * 1e3, "ms", "measured", how, low, high)


def _example(item: Any) -> np.ndarray[Any, Any]:
    """Noise for an input of floats, zeros for any other."""
    kind = {"tensor(float)": "float32", "tensor(double)": "float64"}.get(item.type)
    if kind is None:
        return np.zeros(item.shape, np.dtype(item.type.removeprefix("tensor(").removesuffix(")")))
    return np.asarray(np.random.default_rng(0).standard_normal(item.shape), np.dtype(kind))
