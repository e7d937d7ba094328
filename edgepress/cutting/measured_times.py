"""What the device's half takes, from times of its layers that were measured on the board itself."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.bundle import open_bundle
from edgepress.cutting.candidates import Halves
from edgepress.cutting.device_times import FLOAT, INTEGER, DeviceTimes
from edgepress.errors import DataError, TargetError
from edgepress.hardware.layer_times import known_times
from edgepress.inputs import read_value
from edgepress.measurement import Measurement
from edgepress.targets import Target

_LARGEST = 8 << 20
_MOST = 1 << 16
_AFTER = re.compile(r"_token_\d+$|_nchwc$|/\w+Fusion/.*$")  # what ONNX Runtime's passes add to a node's name
_PROFILE = "edgepress profile BUNDLE --layers --json"


@dataclass(frozen=True)
class TimedLayer:
    """A layer as it ran: the names of the nodes that it computes, its time in ms, and whether in integers."""

    nodes: tuple[str, ...]
    ms: float
    integer: bool


@dataclass(frozen=True)
class TimedLayers:
    """Layers in the order in which they ran.

    Attributes:
        target: the board that the bundle was built for, and that it ran on.
        how: where and by which engine, in words.
    """

    target: str
    layers: tuple[TimedLayer, ...]
    how: str


def measured_times(path: Path, target: Target, halves: Halves) -> DeviceTimes:
    """The device's times from a bundle that was profiled on this machine, or from what a profile printed elsewhere.

    Args:
        path: a bundle, or the output of ``edgepress profile BUNDLE --layers --json``.
        target: the board that was asked for.
        halves: of the same model.

    Raises:
        DataError: there are no times in it, or they are another model's.
        TargetError: they are another board's.
        BundleError: the bundle is damaged.
    """
    timed = _of_bundle(path) if path.suffix == ".edge" else _of_profile(path)
    if timed.target != target.name:
        raise TargetError(
            f"the times in {path} are those of {timed.target}, not of {target.name}; run {_PROFILE} on the board"
        )
    return from_layers(timed, halves, str(path))


def from_layers(timed: TimedLayers, halves: Halves, where: str) -> DeviceTimes:
    """Share measured layers out among the halves of every candidate.

    A cut lies behind the last layer that computes a node of the device's half: what a runtime added in between, such
    as a change of layout, is on the device.

    Raises:
        DataError: none of the layers is of the model.
    """
    known = frozenset().union(*(one.nodes_before for one in halves.candidates))
    nodes = [_of_model(layer.nodes, known) for layer in timed.layers]
    if halves.candidates and not any(nodes):
        raise DataError(f"the layers in {where} are not those of this model; profile a bundle of it")
    how = f"sum of layers, {timed.how}"
    precision = INTEGER if any(layer.integer for layer in timed.layers) else FLOAT

    def figure(count: int) -> Measurement:
        value = sum(layer.ms for layer in timed.layers[:count])
        return Measurement("device time", value, "ms", "measured", how, value, value)

    heads = []
    for one in halves.candidates:
        inside = [number for number, names in enumerate(nodes) if names & one.nodes_before]
        heads.append(figure(inside[-1] + 1 if inside else 0))
    return DeviceTimes(precision, figure(len(timed.layers)), tuple(heads))


def _of_model(names: Sequence[str], known: frozenset[str]) -> frozenset[str]:
    """Those of the model's nodes that a layer's names mean."""
    return frozenset(_AFTER.sub("", name).removesuffix("/Quantize") for name in names) & known


def _of_bundle(path: Path) -> TimedLayers:
    with open_bundle(path) as bundle:
        (name, part), *more = bundle.manifest.parts.items()
        if more:
            raise DataError(f"{path} is of several networks; give a bundle of the whole model")
        for engine in dict.fromkeys((part.engine, *part.engines)):
            times = known_times(bundle, name, engine) if engine in part.engines else None
            if times is not None and times.layers:
                layers = tuple(
                    TimedLayer(
                        (layer.name, *(layer.cost.nodes if layer.cost else ())), layer.ms,
                        bool(layer.cost and layer.cost.integer),
                    )
                    for layer in times.layers
                )  # fmt: skip
                return TimedLayers(part.target, layers, f"engine {engine}, {times.how}")
        raise DataError(
            f"no times of the layers of {path} are known here; run {_PROFILE} on a {part.target}, and give what it "
            "prints"
        )


def _of_profile(path: Path) -> TimedLayers:
    data, name = read_value(path)
    wrong = f"{name} is not what {_PROFILE} prints"
    if len(data) > _LARGEST:
        raise DataError(f"{wrong}: it is too large")
    try:
        found = json.loads(data)
        if not found["is_target"]:
            raise DataError(
                f"the times in {name} were not taken on a {found['target']}; run {_PROFILE} there"
            )
        engines = [one for one in found["engines"] if one.get("layers")]
        if not engines:
            raise DataError(f"{name} holds no times of layers; profile with --layers")
        timed = [(str(one["engine"]), tuple(map(_layer, one["layers"]))) for one in engines]
        engine, layers = min(timed, key=lambda each: sum(layer.ms for layer in each[1]))
        how = f"engine {engine}, {found['machine']['cpu']}, {found['threads']} thread(s), median of runs"
        target = str(found["target"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{wrong}; give its output as it is") from None
    if len(layers) > _MOST:
        raise DataError(f"{wrong}: it has too many layers")
    return TimedLayers(target, layers, how)


def _layer(data: Any) -> TimedLayer:
    ms = float(data["ms"])
    if not 0 <= ms < 1e9:
        raise ValueError(f"a layer of {ms} ms")
    return TimedLayer((str(data["name"]), *map(str, data.get("nodes", ()))), ms, bool(data.get("integer")))
