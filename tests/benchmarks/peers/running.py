"""What an engine gives once it has loaded a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.benchmarks.peers.inputs import Array


@dataclass(frozen=True)
class Running:
    """A network, loaded and ready.

    Attributes:
        feed: puts inputs, in ONNX's layout, where the engine reads them; its time is not counted.
        run: computes once; this is what is timed.
        read: the outputs of the last run, by name, in ONNX's layout.
        precision: ``fp32`` or ``int8`` as the engine says that it computes, or ``mixed``.
        threads: how many the engine says that it uses.
        note: what a reader of the figures should know.
        own_model: whether int8 is the engine's own quantisation of the network, not the QDQ graph.
    """

    feed: Callable[[Mapping[str, Array]], None]
    run: Callable[[], object]
    read: Callable[[], dict[str, Array]]
    precision: str
    threads: int
    note: str = ""
    own_model: bool = False


def precision_of(integer: int, weighted: int) -> str:
    """The precision's name, by how many of the layers with weights compute on integers."""
    return "int8" if integer == weighted and weighted else "fp32" if not integer else "mixed"
