"""Edit an ONNX graph: new nodes and constants with names of their own, and the model put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgepress.targets.compilers.tvm.origin import mark_of, marks_of

DOMAIN = "edgepress"


class GraphEditor:
    """An ONNX graph being rewritten, node by node, in order.

    Attributes:
        graph: the graph that is read.
        constants: initializers and constants by name.
        ranks: the rank of each tensor where known.
        nodes: the nodes of the new graph so far.
        origin: the nodes that are being rewritten; new nodes take their marks.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.shapes: dict[str, tuple[int, ...]] = {
            name: value.shape for name, value in self.constants.items()
        }
        for info in (*model.graph.value_info, *model.graph.input, *model.graph.output):
            dims = info.type.tensor_type.shape.dim
            if info.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
                self.shapes[info.name] = tuple(d.dim_value for d in dims)
        self.nodes: list[onnx.NodeProto] = []
        self.origin: tuple[onnx.NodeProto, ...] = ()
        self.added: dict[str, np.ndarray] = {}
        self._count = 0

    def fresh(self, stem: str) -> str:
        """A tensor name that nothing else has."""
        self._count += 1
        return f"{stem}__ep{self._count}"

    def constant(self, value: np.ndarray, stem: str) -> str:
        """A new initializer; its name."""
        name = self.fresh(stem)
        self.added[name] = value
        self.shapes[name] = value.shape
        return name

    def node(
        self, op: str, inputs: Sequence[str], output: str | Sequence[str], domain: str = "", **attrs: Any
    ) -> None:
        """Append a node of one output, or of several."""
        outputs = [output] if isinstance(output, str) else list(output)
        name = outputs[0]
        marks = marks_of(self.origin) or mark_of(op.removeprefix("Ep"), name.partition("__ep")[0])
        self.nodes.append(
            onnx.helper.make_node(op, list(inputs), outputs, name, marks, domain=domain, **attrs)
        )

    def drop_unread(self) -> None:
        """Take out the new nodes and constants that nothing reads."""
        kept: list[onnx.NodeProto] = []
        read = {item.name for item in self.graph.output}
        for node in reversed(self.nodes):
            if any(name in read for name in node.output):
                kept.append(node)
                read.update(node.input)
                for attr in node.attribute:
                    if attr.HasField("g"):
                        read.update(name for inner in attr.g.node for name in inner.input)
        self.nodes = kept[::-1]
        self.added = {name: value for name, value in self.added.items() if name in read}

    def finish(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The rewritten model, without initializers that nothing reads."""
        done = onnx.ModelProto()
        done.CopyFrom(model)
        del done.graph.node[:]
        del done.graph.initializer[:]
        done.graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input} | {o.name for o in done.graph.output}
        for node in self.nodes:
            for attr in node.attribute:
                if attr.HasField("g"):
                    used |= {name for inner in attr.g.node for name in inner.input}
        for name, value in sorted({**self.constants, **self.added}.items()):
            if name in used:
                done.graph.initializer.append(numpy_helper.from_array(value, name))
        if all(opset.domain != DOMAIN for opset in done.opset_import):
            done.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
        return done


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values; text as ``str``."""
    values = {attr.name: onnx.helper.get_attribute_value(attr) for attr in node.attribute}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
