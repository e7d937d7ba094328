"""Find patterns in an ONNX graph: who makes a tensor, who reads it, on which grid it is quantised."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from edgepress.targets.compilers.tvm.graph_editor import GraphEditor
from edgepress.targets.compilers.tvm.grids import Grid, grid_of


class GraphMatcher(GraphEditor):
    """An editor that knows the graph's edges.

    Attributes:
        makers: the node behind each tensor.
        readers: the nodes that read each tensor, one entry an input.
        results: the graph's outputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model)
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.results = {item.name for item in self.graph.output}

    def only_reader(self, name: str, op: str) -> onnx.NodeProto | None:
        """The one reader of a tensor, if it is of that kind."""
        readers = self.readers.get(name, [])
        if len(readers) != 1 or name in self.results or readers[0].op_type != op or readers[0].domain:
            return None
        return readers[0]

    def only_made(self, name: str, op: str) -> onnx.NodeProto | None:
        """The maker of a tensor that only one node reads, if it is of that kind."""
        node = self.makers.get(name)
        if node is None or node.op_type != op or node.domain or name in self.results:
            return None
        return node if len(self.readers[name]) == 1 else None

    def grid(self, node: onnx.NodeProto) -> Grid | None:
        """The grid of a QuantizeLinear or DequantizeLinear by constant scalars, or None."""
        return grid_of(self.constants, node.input[1:3])

    def between(self, inputs: Iterable[str], result: str) -> tuple[onnx.NodeProto, ...]:
        """The nodes that make a tensor of others, in the graph's order."""
        found: list[onnx.NodeProto] = []
        seen, todo = set(inputs), [result]
        while todo:
            name = todo.pop()
            if name in seen or name not in self.makers:
                continue
            seen.add(name)
            found.append(self.makers[name])
            todo.extend(self.makers[name].input)
        return tuple(node for node in self.graph.node if any(node is one for one in found))
