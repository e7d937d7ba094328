"""What the device's half takes on its board, by estimate: never a time of the machine that this runs on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgepress.cost import LayerCost
from edgepress.cutting.candidates import Halves, in_int8
from edgepress.graph.cost import MULTIPLYING
from edgepress.hardware.estimate import estimate_latency
from edgepress.measurement import Measurement
from edgepress.targets import Target

FLOAT, INTEGER = "fp32", "int8"
_NAME = "device time"
# Networks that boards' files have times of, with their multiply-adds (their papers).
_ANCHORS = {"mobilenetv2": 300.8e6, "resnet50": 4.09e9}
_ANCHORED_ERROR = 2.0
_IN_INTEGERS = ("int8", "w8a8", "uint8")


@dataclass(frozen=True)
class DeviceTimes:
    """Times on the board.

    Attributes:
        precision: what the network runs in.
        whole: all of it.
        heads: of each candidate the device's half.
    """

    precision: str
    whole: Measurement
    heads: tuple[Measurement, ...]


def estimated_times(halves: Halves, target: Target, name: str, threads: int = 0) -> list[DeviceTimes]:
    """The board's times in fp32 and in int8.

    By roofline where the board's peaks are known, else from a published time of a network of the same kind. Where a
    time of this very network is published, it is taken, and shared out among the layers as the estimate has them.

    Args:
        halves: the work.
        target: the board.
        name: of the model.
        threads: how many of its cores; 0 takes all.
    """
    found = []
    for precision in (FLOAT, INTEGER):
        whole = time_of(halves.whole.layers, target, precision, threads)
        heads = [time_of(one.before.layers, target, precision, threads) for one in halves.candidates]
        known = _published(target, precision, _plain(name))
        if known is not None and whole.value and known.value:
            ratio, how = known.value / whole.value, f"{known.how}; its share of the layers by estimate"
            heads = [_scaled(head, ratio, how) for head in heads]
            whole = dataclasses.replace(known, name=_NAME, how=f"{known.name}: {known.how}")
        found.append(DeviceTimes(precision, whole, tuple(heads)))
    return found


def time_of(layers: Sequence[LayerCost], target: Target, precision: str, threads: int = 0) -> Measurement:
    """What layers take on a board, by estimate; unavailable where nothing is known of it."""
    given = in_int8(layers) if precision == INTEGER else list(layers)
    figure = dataclasses.replace(estimate_latency(given, target, threads=threads), name=_NAME)
    if figure.value is not None:
        return figure
    mobile = any(layer.op == "DepthwiseConv" for layer in layers)
    for network in ("mobilenetv2", "resnet50") if mobile else ("resnet50", "mobilenetv2"):
        known = _published(target, precision, network)
        if known is not None and known.value:
            return _by_macs(layers, known, network)
    return figure


def _by_macs(layers: Sequence[LayerCost], known: Measurement, network: str) -> Measurement:
    macs = sum(layer.macs for layer in layers if layer.op in MULTIPLYING)
    value = known.value or 0.0
    value *= macs / _ANCHORS[network]
    how = (
        f"{known.name}: {known.value:g} ms published ({known.how}), by multiply-adds; may be off by a factor of "
        f"{_ANCHORED_ERROR:g} either way"
    )
    return Measurement(_NAME, value, "ms", "estimated", how, value / _ANCHORED_ERROR, value * _ANCHORED_ERROR)


def _published(target: Target, precision: str, network: str) -> Measurement | None:
    """The first time in the board's file that is of a network, in that precision; those of its CPU go first."""
    for figure in sorted(target.published, key=lambda figure: accelerated(figure.name)):
        integer = any(word in figure.name for word in _IN_INTEGERS)
        title = re.split(r"[ ,]", figure.name)[0]
        if figure.unit == "ms" and _plain(title) == network and integer == (precision == INTEGER):
            return figure
    return None


def accelerated(text: str) -> bool:
    """Whether a published figure, or what says where a time is from, is of a GPU or an NPU."""
    return bool(re.search(r"\b(GPU|NPU)\b", text))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _scaled(figure: Measurement, ratio: float, how: str) -> Measurement:
    value, low, high = (
        None if each is None else each * ratio for each in (figure.value, figure.low, figure.high)
    )
    return dataclasses.replace(figure, value=value, low=low, high=high, how=how)
