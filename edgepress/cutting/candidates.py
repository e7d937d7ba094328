"""The places where a model could be cut, with the work of both halves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgepress.cost import LayerCost
from edgepress.graph.cost import MULTIPLYING, count_nodes
from edgepress.graph.cuts import Cut, find_cuts
from edgepress.graph.fusing import fused
from edgepress.graph.index import Index, reads

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Work:
    """What a run of nodes computes.

    Attributes:
        layers: what each costs, without those that an engine fuses with another.
        weight_bytes: all constants, in float32.
        activation_bytes: the most that tensors take together at any node, in float32.
    """

    layers: tuple[LayerCost, ...]
    weight_bytes: int
    activation_bytes: int

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return sum(layer.macs for layer in self.layers if layer.op in MULTIPLYING)


@dataclass(frozen=True)
class Candidate:
    """A place to cut.

    Attributes:
        cut: where.
        layer: the torch layer that gives the same tensor; empty where none does, or the source is not torch.
        before, after: the device's half and the server's.
        nodes_before: names of the nodes of the device's half.
    """

    cut: Cut
    layer: str
    before: Work
    after: Work
    nodes_before: frozenset[str]

    @property
    def name(self) -> str:
        """The layer where there is one, else the tensor."""
        return self.layer or self.cut.tensor


@dataclass(frozen=True)
class Halves:
    """A model and where it could be cut; ``whole`` is all of its work."""

    whole: Work
    candidates: tuple[Candidate, ...]


def find_halves(graph: onnx.ModelProto, layers: dict[str, str]) -> Halves:
    """Every place to cut a float graph at.

    Args:
        graph: tidied.
        layers: the torch layer of each tensor, where known.
    """
    costs, gone = count_nodes(graph), fused(graph)
    kept = [None if position in gone else cost for position, cost in enumerate(costs)]
    used = _live_bytes(graph, gone)
    names = [node.name or node.output[0] for node in graph.graph.node]

    def work(first: int, last: int) -> Work:
        layers = tuple(cost for cost in kept[first:last] if cost is not None)
        constants = sum(cost.weight_bytes for cost in costs[first:last] if cost is not None)
        return Work(layers, constants, max(used[first:last], default=0))

    found = tuple(
        Candidate(
            cut, layers.get(cut.tensor, ""), work(0, cut.position), work(cut.position, len(kept)),
            frozenset(names[: cut.position]),
        )
        for cut in find_cuts(graph)
    )  # fmt: skip
    return Halves(work(0, len(kept)), found)


def in_int8(layers: Sequence[LayerCost]) -> list[LayerCost]:
    """The layers as they would be in 8-bit integers."""
    return [
        dataclasses.replace(
            layer, integer=True, weight_bytes=layer.weight_bytes // 4, activation_bytes=layer.activation_bytes // 4
        )
        for layer in layers
    ]  # fmt: skip


def _live_bytes(graph: onnx.ModelProto, gone: set[int]) -> list[int]:
    """For each node, the bytes of all tensors that are needed while it runs; a fused one works in place."""
    index, nodes = Index.of(graph.graph), list(graph.graph.node)
    last = {name: position for position, node in enumerate(nodes) for name in reads(node)}
    last.update(dict.fromkeys(index.outputs, len(nodes)))

    def size(name: str) -> int:
        shape = index.shape(name)
        elements = 4 if shape is not None else 0
        for extent in shape or ():
            elements *= extent
        return elements

    live = {name: size(name) for name in index.inputs}
    found = []
    for position, node in enumerate(nodes):
        live.update({name: size(name) for name in node.output if name})
        ending = sum(live.get(name, 0) for name in reads(node)) if position in gone else 0
        found.append(sum(live.values()) - ending)
        live = {name: bytes_ for name, bytes_ in live.items() if last.get(name, -1) > position}
    return found
