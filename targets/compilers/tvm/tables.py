"""Eight-bit functions as tables: what lies between a DequantizeLinear and a QuantizeLinear of one value.

GELU, sigmoid, hard swish and the like of an eight-bit number have 256 results. They are worked out once, by
ONNX Runtime on the graph's own nodes, so that the table is what the nodes give, rounding included.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.graph.constants import run_nodes
from edgepress.targets.compilers.tvm.graph_editor import DOMAIN
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher
from edgepress.targets.compilers.tvm.layout import BINARY, UNARY

_FUNCTIONS = UNARY | BINARY
_BYTES = (np.int8, np.uint8)


class ByteTables(GraphMatcher):
    """The pass itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model)
        self.model = model

    def run(self) -> onnx.ModelProto:
        """The model with its eight-bit functions as ``EpTable``; nodes that nothing reads are dropped."""
        for node in self.graph.node:
            found = self._function(node) if node.op_type == "QuantizeLinear" else None
            table = self._table(node, *found) if found else None
            if found is None or table is None:
                self.nodes.append(node)
                continue
            self.origin = tuple(found[1])
            self.node("EpTable", [found[0], self.constant(table, node.output[0])], node.output[0], DOMAIN)
        self.drop_unread()
        return self.finish(self.model)

    def _function(self, end: onnx.NodeProto) -> tuple[str, list[onnx.NodeProto]] | None:
        """The eight-bit tensor that alone decides ``end``, and the nodes from it to there, in order."""
        nodes: dict[str, onnx.NodeProto] = {}
        sources: set[str] = set()
        todo = [end]
        while todo:
            node = todo.pop()
            if node.output[0] in nodes:
                continue
            if node.op_type not in _FUNCTIONS or node.domain or len(node.output) != 1:
                return None
            nodes[node.output[0]] = node
            for name in node.input:
                if not name or name in self.constants:
                    if name and self.constants[name].size != 1:
                        return None
                elif node.op_type == "DequantizeLinear":
                    sources.add(name)
                elif name in self.makers:
                    todo.append(self.makers[name])
                else:
                    return None
        if len(sources) != 1:
            return None
        source = sources.pop()
        shape = self.shapes.get(source)
        if shape is None or shape != self.shapes.get(end.output[0]):
            return None
        return source, [node for node in self.graph.node if any(node is found for found in nodes.values())]

    def _table(self, end: onnx.NodeProto, source: str, nodes: list[onnx.NodeProto]) -> np.ndarray | None:
        """The 256 results, by the source's bits as an unsigned number."""
        first = next(node for node in nodes if node.input[0] == source)
        zero = self.constants.get(first.input[2]) if len(first.input) > 2 else None
        dtype = np.dtype(np.uint8) if zero is None else zero.dtype
        if dtype not in _BYTES:
            return None
        feeds = {
            name: self.constants[name] for node in nodes for name in node.input if name in self.constants
        }
        feeds[source] = np.arange(256).astype(np.uint8).view(dtype)
        result = run_nodes(nodes, feeds, list(end.output), self.model)
        if result is None or result[0].dtype not in _BYTES or result[0].size != 256:
            return None
        return result[0].reshape(256)


def byte_tables(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite functions of one eight-bit tensor to look-ups; other graphs come back as they are.

    Args:
        model: with shapes inferred and constants as initializers, its integer regions found.
    """
    if all(node.op_type != "QuantizeLinear" for node in model.graph.node):
        return model
    return ByteTables(model).run()
