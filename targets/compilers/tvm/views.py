"""Where the elements of a view lie: Transpose, Reshape and the like of one tensor, and Concat of several.

A view is traced by the offsets of its elements: they are moved as the nodes would move the elements, and what
comes out is a view if the offsets are still linear in the indices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.graph_editor import attributes

_SHAPES = frozenset(["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"])


@dataclass(frozen=True)
class View:
    """A tensor's elements ``base + Σ index · stride`` of a dense source; strides count elements."""

    source: str
    shape: tuple[int, ...]
    base: int
    strides: tuple[int, ...]


def is_view(node: onnx.NodeProto) -> bool:
    """Whether a node only moves elements."""
    return not node.domain and (node.op_type in _SHAPES or node.op_type == "Transpose")


def affine(offsets: np.ndarray) -> tuple[int, tuple[int, ...]] | None:
    """Base and strides of an array of offsets, or None where they are not linear in the indices."""
    if offsets.size == 0:
        return None
    base = int(offsets.reshape(-1)[0])
    strides, linear = [], np.full((1,) * offsets.ndim, base, np.int64)
    for axis, extent in enumerate(offsets.shape):
        second = [0] * offsets.ndim
        second[axis] = 1
        stride = int(offsets[tuple(second)]) - base if extent > 1 else 0
        strides.append(stride)
        along = [1] * offsets.ndim
        along[axis] = extent
        linear = linear + np.arange(extent).reshape(along) * stride
    return (base, tuple(strides)) if np.array_equal(linear, offsets) else None


class Views:
    """The views of one graph.

    Args:
        makers: the node behind each tensor.
        shapes: the static shapes that are known.
    """

    def __init__(self, makers: Mapping[str, onnx.NodeProto], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.makers = makers
        self.shapes = shapes

    def of(self, name: str) -> View | None:
        """A tensor as a view of what lies farthest behind it; at worst of itself."""
        chain: list[onnx.NodeProto] = []
        at = name
        while at in self.makers and is_view(self.makers[at]):
            chain.append(self.makers[at])
            at = chain[-1].input[0]
        while True:
            source = chain[-1].input[0] if chain else name
            offsets = self._offsets(source)
            for node in reversed(chain):
                offsets = self._moved(node, offsets)
            found = affine(offsets) if offsets is not None else None
            if found is not None and offsets is not None:
                return View(source, offsets.shape, *found)
            if not chain:
                return None
            chain.pop()

    def parts(self, name: str, axis: int) -> list[View] | None:
        """A tensor as views that follow one another along ``axis``; one where nothing is joined."""
        at, turns = name, []
        while at in self.makers and self.makers[at].op_type == "Transpose":
            turns.append(self.makers[at])
            at = turns[-1].input[0]
        joined = self.makers.get(at)
        if joined is None or joined.op_type != "Concat":
            one = self.of(name)
            return [one] if one is not None else None
        rank = len(self.shapes[at])
        order = np.arange(rank)
        for node in reversed(turns):
            order = order[np.array(attributes(node).get("perm", range(rank)[::-1]))]
        if int(order[axis]) != int(attributes(joined)["axis"]) % rank:
            return None
        views = []
        for item in joined.input:
            view = self.of(item)
            if view is None:
                return None
            shape, strides = (tuple(values[i] for i in order) for values in (view.shape, view.strides))
            views.append(View(view.source, shape, view.base, strides))
        return views

    def written(self, name: str, nodes: Sequence[onnx.NodeProto]) -> View | None:
        """Where a tensor's elements lie in what nodes, one after another, make of it."""
        result = nodes[-1].output[0] if nodes else name
        offsets = self._offsets(result)
        for node in reversed(nodes):
            if offsets is None:
                return None
            if node.op_type == "Transpose":
                rank = offsets.ndim
                back = np.argsort(np.array(attributes(node).get("perm", range(rank)[::-1])))
                offsets = offsets.transpose(back)
            else:
                offsets = offsets.reshape(self.shapes[node.input[0]])
        found = affine(offsets) if offsets is not None else None
        return View(result, offsets.shape, *found) if found and offsets is not None else None

    def _offsets(self, name: str) -> np.ndarray | None:
        shape = self.shapes.get(name)
        return None if shape is None else np.arange(int(np.prod(shape))).reshape(shape)

    def _moved(self, node: onnx.NodeProto, offsets: np.ndarray | None) -> np.ndarray | None:
        if offsets is None:
            return None
        if node.op_type == "Transpose":
            return offsets.transpose(attributes(node).get("perm", range(offsets.ndim)[::-1]))
        shape = self.shapes.get(node.output[0])
        return None if shape is None else offsets.reshape(shape)
