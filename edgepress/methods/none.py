"""The method that changes nothing: the float network as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from edgepress.methods import Feeds, Method, Part, Pressed
from edgepress.progress import Progress


@dataclass(frozen=True)
class NoneConfig:
    """Nothing to set."""


def press(
    graph: onnx.ModelProto,
    calibration: Sequence[Feeds],
    config: NoneConfig,
    activations: str,
    progress: Progress,
) -> Pressed:
    """The graph itself, as the only part."""
    progress(1, 1, "nothing to press")
    return Pressed({"main": Part(graph=graph)})


METHOD = Method("none", "keep the float network as it is", NoneConfig, press)
