"""What the calibration inputs make of each tensor: extremes, extremes by channel, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from edgepress.errors import DataError
from edgepress.graph.index import copy_of
from edgepress.methods import Feeds
from edgepress.progress import Progress

BINS = 2048
# A histogram needs no more of one tensor of one input than this many values, taken at even steps.
_SAMPLE = 40_000


@dataclass(frozen=True)
class Statistics:
    """Of one tensor over all calibration inputs.

    Attributes:
        low, high: the least and the greatest value.
        channel_low, channel_high: the same for each index of axis 1 (one entry where there is no such axis).
        histogram: counts over ``BINS`` equal bins from low to high, sampled; empty where not asked for.
    """

    low: float
    high: float
    channel_low: np.ndarray
    channel_high: np.ndarray
    histogram: np.ndarray


def collect(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    calibration: Sequence[Feeds],
    histograms: bool,
    progress: Progress,
) -> dict[str, Statistics]:
    """Run the float graph on every input and keep the statistics of the given tensors.

    Raises:
        DataError: there are no inputs, one does not fit the graph, or a tensor is not finite.
    """
    if not calibration:
        raise DataError("int8 needs pictures or other inputs to calibrate on; give some with --data")
    session = open_session(model, tensors)
    passes = 2 if histograms else 1
    extremes: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    counts = {name: np.zeros(BINS, np.int64) for name in tensors}
    for turn in range(passes):
        for i, feed in enumerate(calibration):
            for name, value in run(session, tensors, feed).items():
                if turn == 0:
                    extremes[name] = _widen(extremes.get(name), value, name)
                else:
                    low, high = (float(f(e)) for f, e in zip((np.min, np.max), extremes[name], strict=True))
                    counts[name] += _histogram(value, low, high)
            progress(turn * len(calibration) + i + 1, passes * len(calibration), "calibrating")
    return {
        name: Statistics(
            float(low.min()), float(high.max()), low, high, counts[name] if histograms else np.zeros(0)
        )
        for name, (low, high) in extremes.items()
    }


def open_session(model: onnx.ModelProto, tensors: Sequence[str]) -> ort.InferenceSession:
    """A session of the float graph that gives the named tensors out beside its own outputs."""
    open_graph = copy_of(model)
    known = {item.name for item in (*open_graph.graph.output, *open_graph.graph.input)}
    for name in tensors:
        if name not in known:
            open_graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
            known.add(name)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # Results must not depend on how this machine's optimiser fuses: the same inputs give the same ranges.
    # Idle threads that spin take the processor from NumPy, which works between two runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return ort.InferenceSession(open_graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(session: ort.InferenceSession, tensors: Sequence[str], feed: Feeds) -> dict[str, np.ndarray]:
    """The named tensors for one set of inputs."""
    inputs = {item.name for item in session.get_inputs()}
    made = [item.name for item in session.get_outputs()]
    wanted = [name for name in tensors if name in made]
    try:
        values = session.run(wanted, {name: feed[name] for name in inputs}) if wanted else []
    except KeyError as error:
        raise DataError(
            f"a calibration input lacks {error.args[0]!r}; the graph takes {sorted(inputs)}"
        ) from None
    except Exception as error:  # ONNX Runtime's errors share no base class
        cause = str(error).splitlines()[0]
        raise DataError(f"a calibration input does not fit the graph: {cause[:200]}") from None
    result = dict(zip(wanted, values, strict=True))
    result.update({name: np.asarray(feed[name]) for name in tensors if name in inputs})
    return result


def _widen(
    extremes: tuple[np.ndarray, np.ndarray] | None, value: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    if not np.all(np.isfinite(value)):
        raise DataError(
            f"the tensor {name!r} becomes infinite or NaN on a calibration input; check the preprocessing"
        )
    axes = tuple(axis for axis in range(value.ndim) if axis != 1) if value.ndim > 1 else None
    low, high = np.atleast_1d(value.min(axis=axes)), np.atleast_1d(value.max(axis=axes))
    if extremes is None:
        return low, high
    return np.minimum(extremes[0], low), np.maximum(extremes[1], high)


def _histogram(value: np.ndarray, low: float, high: float) -> np.ndarray:
    flat = value.reshape(-1)[:: max(1, value.size // _SAMPLE)]
    width = (high - low) / BINS
    if width <= 0:
        return np.bincount([0] * flat.size, minlength=BINS)
    bins = np.minimum(((flat - low) / width).astype(np.int64), BINS - 1)
    return np.bincount(np.maximum(bins, 0), minlength=BINS)
