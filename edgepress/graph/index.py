"""Who makes and who reads each tensor of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A deep copy, for passes that promise not to change what they are given."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    return new


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or ``default`` where the node does not carry it."""
    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return default


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node (the branches of an If, the body of a Loop)."""
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            yield item.g
        elif item.type == onnx.AttributeProto.GRAPHS:
            yield from item.graphs


def reads(node: onnx.NodeProto) -> list[str]:
    """Names of the tensors a node reads, those that its inner graphs capture included, each once."""
    names = dict.fromkeys(name for name in node.input if name)
    for inner in subgraphs(node):
        own = {item.name for item in inner.input} | {item.name for item in inner.initializer}
        own.update(name for child in inner.node for name in child.output)
        for child in inner.node:
            names.update(dict.fromkeys(name for name in reads(child) if name not in own))
        names.update(dict.fromkeys(item.name for item in inner.output if item.name not in own))
    return list(names)


@dataclass(frozen=True)
class Index:
    """A graph's tensors by name.

    Attributes:
        producer: the node that makes a tensor.
        readers: the nodes that read it, in the graph's order.
        constants: the graph's initialisers (a graph input that has one is not a constant).
        inputs, outputs: names of the graph's inputs (without initialisers) and outputs, in order.
        types: element type and shape of every tensor that has one; an unknown extent is None.
    """

    producer: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]
    constants: dict[str, onnx.TensorProto]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: dict[str, tuple[int, tuple[int | None, ...] | None]]

    @classmethod
    def of(cls, graph: onnx.GraphProto) -> Index:
        """Index a graph as it stands; a later change to the graph is not seen."""
        producer: dict[str, onnx.NodeProto] = {}
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.output:
                if name:
                    producer[name] = node
            for name in reads(node):
                readers.setdefault(name, []).append(node)
        initialised = {item.name for item in graph.initializer}
        types: dict[str, tuple[int, tuple[int | None, ...] | None]] = {}
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.HasField("tensor_type"):
                tensor = value.type.tensor_type
                shape = None
                if tensor.HasField("shape"):
                    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
                types[value.name] = (tensor.elem_type, shape)
        for item in graph.initializer:
            types[item.name] = (item.data_type, tuple(item.dims))
        overridable = {item.name for item in graph.input}
        return cls(
            producer,
            readers,
            {item.name: item for item in graph.initializer if item.name not in overridable},
            tuple(item.name for item in graph.input if item.name not in initialised),
            tuple(item.name for item in graph.output),
            types,
        )

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The tensor's shape where every extent is known, else None."""
        shape = self.types.get(name, (0, None))[1]
        if shape is None:
            return None
        extents = tuple(extent for extent in shape if extent is not None)
        return extents if len(extents) == len(shape) else None

    def value(self, name: str) -> np.ndarray | None:
        """A constant's value, or None where the tensor is no constant."""
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)


def replace_nodes(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put ``nodes`` in the place of the graph's own."""
    kept = [onnx.NodeProto() for _ in nodes]
    for copy, node in zip(kept, nodes, strict=True):
        copy.CopyFrom(node)
    del graph.node[:]
    graph.node.extend(kept)


def put_constant(graph: onnx.GraphProto, name: str, value: np.ndarray) -> None:
    """Add an initialiser, or replace the one of that name."""
    tensor = numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
    for item in graph.initializer:
        if item.name == name:
            item.CopyFrom(tensor)
            return
    graph.initializer.append(tensor)
