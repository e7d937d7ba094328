"""A graph of one size made one of any size: of extents that vary, no number is left in it.

Exporters write numbers where torch code says "as long as the input": in the shapes of Reshape, and in the ends of
Slice. Here the extents behind the batch and the channels are followed through the graph, and such numbers are put in
terms of what the node reads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepress.graph.index import Index, attribute, copy_of

_FIRST = 2  # the first axis whose extent varies
_ALL = np.iinfo(np.int64).max
_SAME = frozenset((
    "Relu", "Erf", "Exp", "Log", "Neg", "Abs", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Sign", "Clip", "Gelu",
    "Identity", "Cast", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min",
))  # fmt: skip


class _Fixed(Exception):
    """An operator through which varying extents are not followed."""


def any_size(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy of a convolutional graph that takes inputs of any extents behind the second axis.

    Args:
        model: with static shapes inferred.

    Returns:
        The graph; None where an operator does not tell how its extents depend on the input's.
    """
    new = copy_of(model)
    try:
        _Loosened(new).run()
    except _Fixed:
        return None
    return new


class _Loosened:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.index = Index.of(model.graph)
        self.varying: dict[str, frozenset[int]] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.count = 0

    def run(self) -> None:
        for item in self.graph.input:
            if item.name not in self.index.constants:
                self.varying[item.name] = frozenset(range(_FIRST, len(self.shape(item.name))))
        for node in self.graph.node:
            self.varying[node.output[0]] = self.follow(node)
            self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        del self.graph.value_info[:]
        for item in (*self.graph.input, *self.graph.output):
            for axis in self.varying.get(item.name, ()):
                extent = item.type.tensor_type.shape.dim[axis]
                extent.dim_param = f"{item.name}_{axis}"  # which takes the number's place
        used = {name for node in self.nodes for name in node.input}
        kept = [item for item in self.graph.initializer if item.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def shape(self, name: str) -> tuple[int, ...]:
        """The extents as they are in the graph of one size."""
        shape = self.index.shape(name)
        if shape is None:
            raise _Fixed(name)
        return shape

    def numbers(self, name: str) -> list[int]:
        """Whole numbers that the graph holds."""
        value = self.index.value(name)
        if value is None:
            raise _Fixed(name)
        return [int(number) for number in value.reshape(-1)]

    def follow(self, node: onnx.NodeProto) -> frozenset[int]:
        """Which extents of a node's output vary; its own numbers are put in other terms."""
        given = [self.varying.get(name, frozenset()) for name in node.input if name]
        if not any(given):
            return frozenset()
        first = given[0]
        if node.op_type in _SAME:
            rank = len(self.shape(node.output[0]))
            ranks = [len(self.shape(name)) for name in node.input if name]
            return frozenset(
                axis + rank - own for axes, own in zip(given, ranks, strict=True) for axis in axes
            )
        if node.op_type == "Conv":
            return frozenset(range(_FIRST, len(self.shape(node.output[0]))))
        if node.op_type == "Transpose":
            order = attribute(node, "perm")
            return frozenset(place for place, axis in enumerate(order or ()) if axis in first)
        if node.op_type == "Concat" and attribute(node, "axis") not in frozenset().union(*given):
            return frozenset().union(*given)
        if node.op_type == "ReduceMean" and attribute(node, "keepdims", 1):
            axes = self.numbers(node.input[1]) if len(node.input) > 1 else list(attribute(node, "axes", ()))
            return first - frozenset(axis % len(self.shape(node.input[0])) for axis in axes)
        if node.op_type == "Slice":
            return self.cut(node, first)
        if node.op_type == "Reshape":
            return self.reshaped(node, first)
        raise _Fixed(node.op_type)

    def cut(self, node: onnx.NodeProto, varying: frozenset[int]) -> frozenset[int]:
        """A slice that ends so far before the end, whatever the extent."""
        shape = self.shape(node.input[0])
        starts, ends = self.numbers(node.input[1]), self.numbers(node.input[2])
        axes = self.numbers(node.input[3]) if len(node.input) > 3 else list(range(len(starts)))
        steps = self.numbers(node.input[4]) if len(node.input) > 4 else [1] * len(starts)
        for place, (start, axis, step) in enumerate(zip(starts, axes, steps, strict=True)):
            extent = shape[axis % len(shape)]
            if axis % len(shape) in varying:
                if step != 1 or start < 0:
                    raise _Fixed(node.name)
                if ends[place] >= 0:
                    ends[place] = ends[place] - extent if ends[place] < extent else _ALL
        node.input[2] = self.constant(ends)
        return varying

    def reshaped(self, node: onnx.NodeProto, varying: frozenset[int]) -> frozenset[int]:
        """A Reshape to extents taken from what it reads."""
        given, made = self.shape(node.input[0]), self.shape(node.output[0])
        known: list[str] = []  # pieces of the new shape
        found, at, row = set(), 0, 0
        shape = ""
        while at < len(given) or row < len(made):
            befores, afters = [at], [row]
            while math.prod(given[i] for i in befores) != math.prod(made[i] for i in afters):
                more_before = math.prod(given[i] for i in befores) < math.prod(made[i] for i in afters)
                (befores if more_before else afters).append((befores if more_before else afters)[-1] + 1)
                if befores[-1] >= len(given) or afters[-1] >= len(made):
                    raise _Fixed(node.name)
            moving = [i for i in befores if i in varying]
            if not moving:
                known.append(self.constant([made[i] for i in afters]))
            elif len(afters) == 1:
                if not shape:
                    shape = self.new("Shape", [node.input[0]])
                extent = self.new("Gather", [shape, self.constant(moving[:1])], axis=0)
                for i in moving[1:]:
                    extent = self.new(
                        "Mul", [extent, self.new("Gather", [shape, self.constant([i])], axis=0)]
                    )
                fixed = math.prod(given[i] for i in befores if i not in varying)
                known.append(self.new("Mul", [extent, self.constant([fixed])]) if fixed != 1 else extent)
                found.add(afters[0])
            else:
                raise _Fixed(node.name)
            at, row = befores[-1] + 1, afters[-1] + 1
        node.input[1] = self.new("Concat", known, axis=0)
        return frozenset(found)

    def constant(self, values: list[int]) -> str:
        name = self.fresh()
        self.graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def new(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = self.fresh()
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def fresh(self) -> str:
        """A name that nothing in the graph has."""
        taken = self.index.types.keys() | self.index.constants.keys() | self.index.producer.keys()
        while True:
            self.count += 1
            if f"size_{self.count}" not in taken:
                return f"size_{self.count}"
