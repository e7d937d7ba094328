"""Filters along one axis, the same two for every channel: a level of a wavelet packet, along one axis.

Channels last, ``y[o, n, i, b] = sum over t of taps[b][t] · x[o, stride·n + t, i]``: what lies behind the filtered axis,
channels with it, is one run ``i``, so that vectors are whole however few channels there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgepress.targets.compilers.tvm.machine import Machine

FILTER = "ep.filter"  # the attribute of a PrimFunc that stands for a pair of filters
_PAIR = 2
_LEAST_RUN = 4
_MOST_TAPS = 24


@dataclass(frozen=True)
class Filter:
    """``outer`` times ``given`` places of ``inner`` numbers; of each ``made`` places with two numbers for one."""

    outer: int
    given: int
    made: int
    inner: int
    stride: int
    taps: tuple[tuple[float, ...], ...]

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
) -> Filter | None:
    """The filters that a convolution of single channels is, or None where it is no such pair.

    Args:
        weight: ``[outputs, 1, *window]``.
        group: groups, as many as channels.
        settings: strides, dilations and pads.
        shape: of the input, channels first.
        machine: the target.
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
    return Filter(int(np.prod([shape[0], *space[:axis]])), int(space[axis]), made, inner, stride, values)
