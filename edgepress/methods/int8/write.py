"""Write a plan and its ranges into a graph as QuantizeLinear and DequantizeLinear nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, copy_of, put_constant, replace_nodes
from edgepress.graph.order import sort_nodes
from edgepress.graph.shapes import infer_shapes
from edgepress.methods.int8.plan import WEIGHTED, Plan
from edgepress.methods.int8.ranges import Quantisation
from edgepress.methods.int8.standing import StandingGrid
from edgepress.methods.int8.weights import IntegerWeight, integer_bias


def write_qdq(
    model: onnx.ModelProto,
    plan: Plan,
    ranges: Mapping[str, Quantisation],
    weights: Mapping[str, IntegerWeight],
    biases: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    """The quantised graph.

    Args:
        model: the float graph the plan was made for.
        plan: what is quantised.
        ranges: by the tensor that speaks for those sharing a range.
        weights, biases: integer weights and float biases by a node's first output; nodes with two activations
            for operands have none.
    """
    new = copy_of(model)
    graph = new.graph
    index = Index.of(graph)
    extra: list[onnx.NodeProto] = []
    gone = {id(index.producer[name]) for name in plan.folded.values()}
    writer = _Writer(graph, extra, ranges, plan)
    for node in graph.node:
        key = node.output[0]
        if key not in plan.nodes:
            continue
        for i, name in enumerate(node.input):
            if name in plan.tensors and not (node.op_type in WEIGHTED and i == 2):
                node.input[i] = writer.dequantised(name)
        if node.op_type in WEIGHTED and key in weights:
            _put_weights(node, index, weights[key], biases.get(key), ranges, plan, writer)
        if key in plan.folded:
            node.output[0] = plan.folded[key]
    # What integer nodes make exists only as integers: everyone else reads it dequantised.
    integer_made = plan.taken.union(
        name for node in graph.node if id(node) not in gone for name in node.output
        if name in plan.tensors and (key_of(node, plan) in plan.nodes)
    )  # fmt: skip
    nodes = [node for node in graph.node if id(node) not in gone]
    for node in nodes:
        for i, name in enumerate(node.input):
            if name in integer_made and node.output[0] != writer.quantised(name):
                node.input[i] = writer.dequantised(name)
    for name in sorted(integer_made.intersection(index.outputs)):
        _give_out(name, nodes, extra, writer)
    replace_nodes(graph, [*nodes, *extra])
    del graph.value_info[:]
    return infer_shapes(remove_dead_ends(sort_nodes(new)))


def key_of(node: onnx.NodeProto, plan: Plan) -> str:
    """The name a node has in the plan: its first output before an activation was folded into it."""
    back = {after: before for before, after in plan.folded.items()}
    return str(back.get(node.output[0], node.output[0]))


class _Writer:
    """Adds the Q and DQ of each tensor once, when it is first asked for."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        extra: list[onnx.NodeProto],
        ranges: Mapping[str, Quantisation],
        plan: Plan,
    ) -> None:
        self.graph, self._extra, self._ranges, self._plan = graph, extra, ranges, plan
        self._done: set[str] = set()

    def quantised(self, name: str) -> str:
        """The name of the tensor's integers."""
        found = self._standing(name)
        return f"{name}.q" if found is None else found.quantised

    def dequantised(self, name: str) -> str:
        """The name of the tensor's dequantised form."""
        found = self._standing(name)
        if found is not None:
            return found.dequantised
        if name not in self._done:
            self._done.add(name)
            scale, zero = self.parameters(name)
            self._extra.append(
                onnx.helper.make_node(
                    "QuantizeLinear", [name, scale, zero], [f"{name}.q"], name=f"{name}/Quantize"
                )
            )
            self._extra.append(
                onnx.helper.make_node(
                    "DequantizeLinear", [f"{name}.q", scale, zero], [f"{name}.dq"], name=f"{name}/Dequantize"
                )
            )
        return f"{name}.dq"

    def _standing(self, name: str) -> StandingGrid | None:
        """The tensor's grid of before, where it is the one chosen."""
        found = self._plan.standing.grids.get(name)
        chosen = self._ranges.get(self._plan.tensors.get(name, ""))
        return found if found is not None and found.grid == chosen else None

    def parameters(self, name: str) -> tuple[str, str]:
        """Names of the constants with the tensor's scale and zero point."""
        chief = self._plan.tensors[name]
        found = self._ranges[chief]
        put_constant(self.graph, f"{chief}.scale", np.array(found.scale, np.float32))
        put_constant(self.graph, f"{chief}.zero_point", np.array(found.zero_point, found.dtype))
        return f"{chief}.scale", f"{chief}.zero_point"

    def constant(self, name: str, q: np.ndarray, scale: np.ndarray, axis: int) -> str:
        """Add integers with their scales and the node that dequantises them; returns its output."""
        if name not in self._done:
            self._done.add(name)
            put_constant(self.graph, f"{name}.q", q)
            put_constant(self.graph, f"{name}.scale", scale)
            put_constant(self.graph, f"{name}.zero_point", np.zeros(scale.shape, q.dtype))
            inputs = [f"{name}.q", f"{name}.scale", f"{name}.zero_point"]
            self._extra.append(
                onnx.helper.make_node(
                    "DequantizeLinear", inputs, [f"{name}.dq"], name=f"{name}/Dequantize", axis=axis
                )
            )
        return f"{name}.dq"


def _put_weights(
    node: onnx.NodeProto,
    index: Index,
    weight: IntegerWeight,
    bias: np.ndarray | None,
    ranges: Mapping[str, Quantisation],
    plan: Plan,
    writer: _Writer,
) -> None:
    data = node.input[0].removesuffix(".dq")
    key = node.output[0]
    shared = len(index.readers.get(node.input[1], [])) > 1
    name = f"{node.input[1]}.{key}" if shared else node.input[1]
    node.input[1] = writer.constant(name, weight.q, weight.scale, weight.axis)
    if bias is None or node.op_type == "MatMul":
        return
    q, scale = integer_bias(bias, ranges[plan.tensors[data]].scale, weight.scale)
    name = f"{node.name or key}.bias"
    if len(node.input) > 2:
        node.input[2] = writer.constant(name, q, scale, 0)
    else:
        node.input.append(writer.constant(name, q, scale, 0))


def _give_out(name: str, nodes: list[onnx.NodeProto], extra: list[onnx.NodeProto], writer: _Writer) -> None:
    """Let the graph's output be the dequantised integers, under the output's own name."""
    before = f"{name}.float"
    integers, dequantised = writer.quantised(name), writer.dequantised(name)
    for node in nodes:
        for i, made in enumerate(node.output):
            if made == name:
                node.output[i] = before
    for node in (*nodes, *extra):
        if node.output[0] == integers:
            node.input[0] = before
        for i, read in enumerate(node.input):
            if read == dequantised:
                node.input[i] = name
        for i, made in enumerate(node.output):
            if made == dequantised:
                node.output[i] = name
