"""Where a graph can be cut in two so that one tensor is all that joins the halves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from edgepress.graph.fusing import LIGHT
from edgepress.graph.index import Index, reads


@dataclass(frozen=True)
class Cut:
    """A tensor through which every road from the inputs to the outputs leads.

    Attributes:
        tensor: its name.
        position: how many of the graph's nodes come before the cut; all others follow it.
        shape: the tensor's.
    """

    tensor: str
    position: int
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers would be sent."""
        return math.prod(self.shape)


def find_cuts(model: onnx.ModelProto) -> list[Cut]:
    """The places to cut a graph at, in its order; a residual block or any other fork has none inside.

    No cut lies between a layer and what an engine fuses with it (:data:`edgepress.graph.fusing.LIGHT`): of several
    tensors with nothing else between them, the smallest is taken, the last of equal ones. Nor is there one before the
    first layer or behind the last.

    Args:
        model: shape-inferred, its nodes in order (:func:`edgepress.graph.tidy.tidy`).
    """
    nodes = list(model.graph.node)
    found: list[Cut] = []
    first, last = 0, len(nodes)
    while first < last and nodes[first].op_type in LIGHT:
        first += 1
    while last > first and nodes[last - 1].op_type in LIGHT:
        last -= 1
    for cut in _dominators(nodes, Index.of(model.graph)):
        if not first < cut.position < last:
            continue
        between = nodes[found[-1].position : cut.position] if found else []
        if not between or any(node.op_type not in LIGHT for node in between):
            found.append(cut)
        elif cut.elements <= found[-1].elements:
            found[-1] = cut
    return found


def _dominators(nodes: Sequence[onnx.NodeProto], index: Index) -> list[Cut]:
    """Every tensor that is, at some place in the order, the only one that later nodes still need."""
    end = len(nodes)
    last_use = {name: end for name in index.outputs}
    for position, node in enumerate(nodes):
        for name in reads(node):
            last_use[name] = max(position, last_use.get(name, 0))
    constant = set(index.constants)
    needed = {name for name in index.inputs if name in last_use}
    found: list[Cut] = []
    for position, node in enumerate(nodes):
        read = reads(node)
        if all(name in constant for name in read):
            constant.update(node.output)
            continue
        needed.update(name for name in node.output if last_use.get(name, -1) > position)
        needed = {name for name in needed if last_use[name] > position}
        if len(needed) != 1:
            continue
        (name,) = needed
        shape = index.shape(name)
        known = found and found[-1].tensor == name
        if shape is not None and name in index.producer and name not in index.outputs and not known:
            found.append(Cut(name, position + 1, shape))
    return found
