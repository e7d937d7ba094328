"""Filters along one axis, the same two for every channel: a level of a wavelet packet, along one axis.

Channels last, ``y[o, n, i, b] = sum over t of taps[b][t] · x[o, stride·n + t, i]``: what lies behind the filtered axis,
channels with it, is one run ``i``, so that vectors are whole however few channels there are. Of two filters that follow
each other the one along the later axis comes last where its run is short: the other's leaves twice as many channels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.graph_editor import attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.machine import Machine
from edgepress.targets.compilers.tvm.windows import window_of

FILTER = "ep.filter"  # the attribute of a PrimFunc that stands for a pair of filters
GRAIN = "grain"  # the attribute of a Conv whose pair of filters lies so far apart
_PAIR = 2
_LEAST_RUN = 4
_MOST_TAPS = 24


@dataclass(frozen=True)
class Filter:
    """``outer`` times ``given`` places of ``inner`` numbers; of each ``made`` places with two numbers for one.

    The two lie ``grain`` apart: so many numbers by the first filter, as many by the second.
    """

    outer: int
    given: int
    made: int
    inner: int
    stride: int
    taps: tuple[tuple[float, ...], ...]
    grain: int = 1

    def text(self) -> str:
        """The form as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, taps that are 0 counted too."""
        return self.outer * self.made * self.inner * sum(map(len, self.taps))


def filter_of(text: str) -> Filter:
    """The form that :meth:`Filter.text` wrote."""
    data = json.loads(text)
    return Filter(**{**data, "taps": tuple(map(tuple, data["taps"]))})


def read_filter(
    weight: np.ndarray,
    group: int,
    settings: Mapping[str, Sequence[int]],
    shape: Sequence[int],
    machine: Machine,
    grain: int = 1,
) -> Filter | None:
    """The filters that a convolution of single channels is, or None where it is no such pair.

    Args:
        weight: ``[outputs, 1, *window]``.
        group: groups, as many as channels.
        settings: strides, dilations and pads.
        shape: of the input, channels first.
        machine: the target.
        grain: see :class:`Filter`.
    """
    window: tuple[Any, ...] = weight.shape[2:]
    long = [axis for axis, extent in enumerate(window) if extent > 1]
    if weight.shape[1] != 1 or len(weight) != _PAIR * group or len(long) != 1 or machine.lanes == 1:
        return None
    (axis,) = long
    own = weight.reshape(group, _PAIR, -1)
    strides = [stride for place, stride in enumerate(settings["strides"]) if place != axis]
    if (
        any(settings["pads"])
        or any(s != 1 for s in (*settings["dilations"], *strides))
        or (own != own[:1]).any()
    ):
        return None
    space = shape[2:]
    inner, stride, taps = (
        int(np.prod(space[axis + 1 :])) * group,
        int(settings["strides"][axis]),
        own.shape[-1],
    )
    if inner < _LEAST_RUN or taps > _MOST_TAPS:
        return None
    made = (space[axis] - taps) // stride + 1
    values = tuple(tuple(float(value) for value in row) for row in own[0])
    return Filter(
        int(np.prod([shape[0], *space[:axis]])), int(space[axis]), made, inner, stride, values, grain
    )


class _ShortRunsLast(GraphMatcher):
    def __init__(self, model: onnx.ModelProto, machine: Machine) -> None:
        super().__init__(model)
        self.machine = machine
        self.added_shapes: list[str] = []  # new tensors between two filters

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        gone: set[str] = set()
        for node in self.graph.node:
            if node.output[0] in gone:
                continue
            after = (
                self.only_reader(node.output[0], "Conv")
                if node.op_type == "Conv" and not node.domain
                else None
            )
            if after is not None and self._swapped(node, after):
                gone.add(after.output[0])
            else:
                self.nodes.append(node)
        done = self.finish(model)
        done.graph.value_info.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, self.shapes[name])
            for name in self.added_shapes
        )
        return done

    def _swapped(self, first: onnx.NodeProto, second: onnx.NodeProto) -> bool:
        """Append two convolutions in the other order, where both are such filters and the first's run is short."""
        shape, made = self.shapes.get(first.input[0]), self.shapes.get(first.output[0])
        if not shape or not made or len(shape) != 4 or len(first.input) > 2 or len(second.input) > 2:
            return False
        across, down = (self.constants.get(node.input[1]) for node in (first, second))
        channels, result = shape[1], second.output[0]
        if across is None or down is None or channels >= self.machine.lanes:
            return False
        if (
            across.shape[1:3] != (1, 1)
            or down.shape[1::2] != (1, 1)
            or self._form(second, down, made) is None
        ):
            return False
        if (len(across), len(down)) != (_PAIR * channels, _PAIR**2 * channels):
            return False
        given = (shape[0], made[1], self.shapes[result][2], shape[3])
        fewer, more = down[: made[1]], np.concatenate([across, across])
        if self._form(second, fewer, shape) is None or self._form(first, more, given, _PAIR) is None:
            return False
        between = self.fresh(first.output[0])
        self.shapes[between] = given
        self.added_shapes.append(between)
        for node, source, made_here, weight, group, grain in (
            (second, first.input[0], between, fewer, channels, {}),
            (first, between, result, more, made[1], {GRAIN: _PAIR}),
        ):
            attrs = attributes(node) | {"group": group} | grain
            self.origin = (node,)
            self.node("Conv", [source, self.constant(weight, node.input[1])], made_here, **attrs)
        return True

    def _form(
        self, node: onnx.NodeProto, weight: np.ndarray | None, shape: tuple[int, ...], grain: int = 1
    ) -> Filter | None:
        """The filters that a node would be with such weights, on an input of that shape."""
        if weight is None or weight.ndim != len(shape):
            return None
        window = window_of(attributes(node), shape, weight.shape[2:])
        return read_filter(weight, shape[1], window, shape, self.machine, grain)


def short_runs_last(model: onnx.ModelProto, machine: Machine) -> onnx.ModelProto:
    """Pairs of filters, first across and then down, the other way round where few channels make short vectors.

    Args:
        model: with shapes inferred and constants as initializers.
        machine: the target.
    """
    if machine.lanes == 1:
        return model
    return _ShortRunsLast(model, machine).run(model)
