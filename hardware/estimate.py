"""How long a network would take on a board, by a roofline model: an estimate, labelled so, with its range.

A layer takes the longer of two times: its operations at the share of the processor's peak that such layers
reach, and its bytes at the share of the memory's bandwidth. A network takes the sum. Caches, clocks that fall
with heat, and the cost of starting a layer are not modelled; the error factor stands for them.
The model is that of Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009, layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cost import LayerCost
from edgepress.errors import UsageError
from edgepress.hardware.hwbench import Peak, Peaks
from edgepress.hardware.ratios import int8_ratio
from edgepress.measurement import Measurement
from edgepress.targets.description import Efficiency, Target

# For a board whose peak is known and to which nothing was fitted: the Raspberry Pi 4's shares, loosely.
DEFAULT = Efficiency(
    fp32=1.0,
    fp32_depthwise=0.06,
    int8=1.3,
    int8_depthwise=0.09,
    memory=0.46,
    int8_memory=0.175,
    error=3.0,
    how="no figures of this board; shares like the Raspberry Pi 4's",
)

# For a machine whose peaks were measured: ONNX Runtime's shares with AVX-512 VNNI, one thread. Caches serve most
# of the bytes there, so that more of them move than memory could give.
MEASURED = Efficiency(
    fp32=0.72,
    fp32_depthwise=0.25,
    int8=0.48,
    int8_depthwise=0.09,
    memory=1.2,
    int8_memory=0.6,
    error=1.6,
    how="shares as ONNX Runtime reached them on EfficientNet-Lite0 and a transformer with AVX-512 VNNI",
)

_RATIO = "time against the reference"

# Without a bandwidth the model sees half of what happens.
_NO_BANDWIDTH = 1.5


@dataclass(frozen=True)
class Comparison:
    """Whether a candidate beats a reference, by estimate.

    Attributes:
        faster: the estimate of the candidate's time is below the reference's; None when nothing is known.
        ratio: the candidate's time over the reference's, with its range.
        candidate, reference: the two estimates that it rests on; unavailable for a board of unknown peak.
    """

    faster: bool | None
    ratio: Measurement
    candidate: Measurement
    reference: Measurement


def estimate_latency(
    layers: Sequence[LayerCost],
    target: Target,
    *,
    threads: int = 0,
    efficiency: Efficiency | None = None,
    peaks: Peaks | None = None,
) -> Measurement:
    """The time of one inference on ``target``, by estimate, in milliseconds.

    Args:
        layers: every layer's counts.
        target: the board; its clock and fp32 peak must be known for there to be a figure.
        threads: how many cores work; 0 takes all of the board's.
        efficiency: the shares to assume; the board's own when None.
        peaks: what was measured of the machine itself, which goes before what the board's file says
            (:func:`edgepress.hardware.hwbench.peaks_of`).

    Returns:
        A figure of origin ``estimated`` with its range, or one of origin ``unavailable`` that says what is
        not known of the board.

    Raises:
        UsageError: ``threads`` is negative.
    """
    name = "latency"
    if threads < 0:
        raise UsageError(f"{threads} threads make no sense; give a positive number, or 0 for all cores")
    cpu = target.cpu
    if peaks is not None:
        return _by_peaks(layers, peaks.at(threads or cpu.cores), efficiency)
    if not cpu.clock_hz or not cpu.flops_per_cycle:
        lacking = " and ".join(
            what for what, known in (("clock", cpu.clock_hz), ("fp32 peak", cpu.flops_per_cycle)) if not known
        )
        return Measurement(name, None, "ms", "unavailable", f"the {lacking} of {target.name} is not known")
    shares = efficiency or target.efficiency or DEFAULT
    used = min(threads or cpu.cores, cpu.cores)
    rate = (cpu.clock_hz or 0.0) * used
    per_cycle = cpu.flops_per_cycle, cpu.int8_ops_per_cycle or cpu.flops_per_cycle
    machine = _Rates(rate * per_cycle[0], rate * per_cycle[1], target.bandwidth_bytes_per_s)
    seconds = sum(_seconds(layer, machine, shares) for layer in layers)
    error = shares.error * (1.0 if target.bandwidth_bytes_per_s else _NO_BANDWIDTH)
    value = 1e3 * seconds
    how = (
        f"roofline, layer by layer, {used} thread{'s' if used > 1 else ''} at {cpu.clock_hz / 1e9:.3g} GHz; "
        f"{shares.how}; may be off by a factor of {error:.2g} either way"
    )
    if not target.bandwidth_bytes_per_s:
        how += "; memory left out, as its bandwidth is not known"
    return Measurement(name, value, "ms", "estimated", how, low=value / error, high=value * error)


def compare(
    candidate: Sequence[LayerCost],
    reference: Sequence[LayerCost],
    target: Target,
    *,
    threads: int = 0,
    peaks: Peaks | None = None,
) -> Comparison:
    """Whether ``candidate`` (the int8 network, say) is faster on ``target`` than ``reference``, by estimate.

    Where the board's peak is not known, the ratio comes from counts of instructions for its family of
    processors, if there are any, weighted by the multiply-adds that are in integers.

    Raises:
        UsageError: ``threads`` is negative.
    """
    first = estimate_latency(candidate, target, threads=threads, peaks=peaks)
    second = estimate_latency(reference, target, threads=threads, peaks=peaks)
    if first.value and second.value:
        # Part of the error is shared by both, but how much nobody measured: the range keeps it whole.
        error = (first.high or 0.0) / first.value
        ratio = first.value / second.value
        how = f"two roofline estimates of {target.name}; may be off by a factor of {error:.2g}"
        modelled = Measurement(
            _RATIO, ratio, "ratio", "estimated", how, low=ratio / error, high=ratio * error
        )
        return Comparison(ratio < 1, modelled, first, second)
    counted = int8_ratio(target)
    before = _counted_work(reference, 1.0)
    if counted is None or not before:
        why = (
            "the reference has no layers"
            if not before
            else f"{second.how}, nor what int8 gains on its family"
        )
        return Comparison(None, Measurement(_RATIO, None, "ratio", "unavailable", why), first, second)
    ratio = _counted_work(candidate, counted.ratio) / _counted_work(reference, counted.ratio)
    measured = Measurement(
        _RATIO,
        ratio,
        "ratio",
        "estimated",
        counted.how,
        low=ratio / counted.error,
        high=ratio * counted.error,
    )
    return Comparison(ratio < 1, measured, first, second)


@dataclass(frozen=True)
class _Rates:
    """What a machine does at most: operations a second in floats and in integers, and bytes, where known."""

    fp32: float
    int8: float
    bandwidth: float | None


def _by_peaks(layers: Sequence[LayerCost], peak: Peak, efficiency: Efficiency | None) -> Measurement:
    """An estimate from what was measured of this machine instead of what a board's file says."""
    shares = efficiency or MEASURED
    machine = _Rates(peak.fp32, peak.int8, peak.bandwidth)
    value = 1e3 * sum(_seconds(layer, machine, shares) for layer in layers)
    how = (
        f"roofline, layer by layer, {peak.threads} thread{'s' if peak.threads > 1 else ''}, with this machine's "
        f"peaks as edgepress hwbench measured them; {shares.how}; "
        f"may be off by a factor of {shares.error:.2g} either way"
    )
    return Measurement(
        "latency", value, "ms", "estimated", how, low=value / shares.error, high=value * shares.error
    )


def _seconds(layer: LayerCost, machine: _Rates, shares: Efficiency) -> float:
    depthwise = layer.op == "DepthwiseConv"
    if layer.integer:
        peak = machine.int8
        share, memory = shares.int8_depthwise if depthwise else shares.int8, shares.int8_memory
    else:
        peak = machine.fp32
        share, memory = shares.fp32_depthwise if depthwise else shares.fp32, shares.memory
    compute = 2 * layer.macs / (peak * share)
    if not machine.bandwidth:
        return compute
    moved = layer.weight_bytes + layer.activation_bytes
    return max(compute, moved / (machine.bandwidth * memory))


def _counted_work(layers: Sequence[LayerCost], int8: float) -> float:
    return sum(layer.macs * (int8 if layer.integer else 1.0) for layer in layers)
