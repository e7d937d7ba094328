"""Which nodes of a graph compute on integers, and which tensors between them carry integers."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import onnx

from edgepress.graph.index import Index, attribute
from edgepress.methods.int8.standing import Standing

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# One range for what goes in and what comes out: these only move values about.
MOVING = frozenset({
    "MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Slice",
    "Split", "Identity", "DepthToSpace", "SpaceToDepth",
})  # fmt: skip
POOLING = frozenset({"AveragePool", "GlobalAveragePool"})
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Sigmoid", "LeakyRelu"})


@dataclass(frozen=True)
class Plan:
    """What is quantised. Nodes are known by the name of their first output.

    Attributes:
        nodes: nodes that compute on integers.
        tensors: every tensor that carries integers, and the tensor whose range it shares (often itself).
        folded: activations (Relu, Clip) that vanish into the range of what they made: their output, by the
            output of the node before.
        limits: the range that folded activations allow, by the tensor that speaks for those sharing it.
        taken: tensors that products on integers before made and that nodes of the plan read.
        standing: what was on integers before.
    """

    nodes: frozenset[str]
    tensors: Mapping[str, str]
    folded: Mapping[str, str]
    limits: Mapping[str, tuple[float, float]]
    taken: frozenset[str]
    standing: Standing

    @property
    def ranges(self) -> tuple[str, ...]:
        """The tensors whose ranges have to be found, in the graph's order."""
        return tuple(dict.fromkeys(self.tensors.values()))


def make_plan(
    model: onnx.ModelProto, float_nodes: Sequence[str], quantise_output: bool, standing: Standing
) -> Plan:
    """Choose nodes and tensors.

    Args:
        model: a tidy, shape-inferred float graph.
        float_nodes: shell patterns of names of nodes that stay in float.
        quantise_output: whether outputs made by integer nodes are rounded to the output's own integers;
            without, a last matrix product gives float results straight from its 32-bit sums.
        standing: what is on integers already; results of its products may become integers too.
    """
    index = Index.of(model.graph)
    nodes: set[str] = set()
    offered: set[str] = set()
    carrying: dict[str, None] = {}
    folded: dict[str, str] = {}
    limits: dict[str, tuple[float, float]] = {}
    sharing = _Sharing()
    for node in model.graph.node:
        key = node.output[0]
        if node.domain not in ("", "ai.onnx") or key in folded.values() or not _is_float(key, index):
            continue
        if any(fnmatch.fnmatchcase(node.name, pattern) for pattern in float_nodes):
            continue
        if key in standing.products:
            after = _activation_after(node, index, float_nodes)
            offered.add(key if after is None else after[0])
            continue
        if not _takes_integers(node, index, offered.union(carrying), standing):
            continue
        if node.op_type in MOVING and key in index.outputs and not offered.isdisjoint(node.input):
            continue  # what a standing product gives out stays as exact as it is
        nodes.add(key)
        after = _activation_after(node, index, float_nodes)
        made = list(node.output)
        if after is not None:
            folded[key], limits[after[0]] = after
            made = [after[0]]
        inputs = [name for name in _data_inputs(node) if name not in index.constants]
        carrying.update(dict.fromkeys(inputs))
        for name in made:
            last = name in index.outputs and node.op_type in ("Gemm", "MatMul") and not quantise_output
            if name and not last:
                carrying[name] = None
                if node.op_type in MOVING:
                    _share(inputs, name, limits, sharing)
    tensors = {name: sharing.chief(name) for name in carrying}
    limits = {name: limit for name, limit in limits.items() if name in tensors}
    return Plan(frozenset(nodes), tensors, folded, limits, frozenset(offered.intersection(tensors)), standing)


def _share(inputs: list[str], output: str, limits: dict[str, tuple[float, float]], sharing: _Sharing) -> None:
    """Let what a moving node reads and makes share one range.

    Where several inputs meet (Concat), one that an activation limits cannot widen to the range of another:
    such a node requantises its inputs instead.
    """
    chiefs = [sharing.chief(name) for name in inputs]
    if len({limits.get(chief) for chief in chiefs}) > 1:
        return
    for chief in chiefs:
        sharing.join(chief, output)


class _Sharing:
    """Sets of tensors that share one range; the first to come speaks for the others."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def chief(self, name: str) -> str:
        while name in self._parent:
            name = self._parent[name]
        return name

    def join(self, first: str, second: str) -> None:
        a, b = self.chief(first), self.chief(second)
        if a != b:
            self._parent[b] = a


def _data_inputs(node: onnx.NodeProto) -> list[str]:
    """Inputs that carry values rather than shapes, axes or limits."""
    if node.op_type in ("Reshape", "Squeeze", "Unsqueeze", "Slice", "Split", "Conv", "ConvTranspose", "Gemm"):
        return [node.input[0]]
    return [name for name in node.input if name]


def _is_float(name: str, index: Index) -> bool:
    return index.types.get(name, (0, None))[0] == onnx.TensorProto.FLOAT


def _takes_integers(
    node: onnx.NodeProto, index: Index, carrying: AbstractSet[str], standing: Standing
) -> bool:
    if node.op_type == "MatMul" and standing.any and node.input[1] not in index.constants:
        # Beside layers trained for integers, products of two activations were not: only where both are.
        return all(name in carrying for name in node.input)
    if node.op_type in WEIGHTED:
        return _quantisable_product(node, index)
    data = _data_inputs(node)
    if node.op_type in MOVING or node.op_type in POOLING:
        return all(name in carrying for name in data)
    if node.op_type in ELEMENTWISE:
        # A constant operand (a scale, a bias on its own) would lose too much on eight bits of its own.
        return all(name in carrying and name not in index.constants for name in data)
    return False


def _quantisable_product(node: onnx.NodeProto, index: Index) -> bool:
    if node.op_type == "MatMul":
        first, second = index.constants.get(node.input[0]), index.constants.get(node.input[1])
        return first is None and (second is None or len(second.dims) == 2)
    weight = index.value(node.input[1])
    bias_constant = len(node.input) < 3 or not node.input[2] or node.input[2] in index.constants
    if weight is None or not bias_constant or weight.dtype != np.float32 or node.input[0] in index.constants:
        return False
    if node.op_type == "Gemm":
        scaled = attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
        bias = index.shape(node.input[2]) if len(node.input) > 2 and node.input[2] else ()
        return not scaled and not attribute(node, "transA", 0) and bias is not None and len(bias) <= 1
    return True


def _activation_after(
    node: onnx.NodeProto, index: Index, float_nodes: Sequence[str]
) -> tuple[str, tuple[float, float]] | None:
    """A Relu or Clip that is all that reads the node's output, and the range it allows."""
    if node.op_type not in WEIGHTED and node.op_type not in ("Add", "Sub", "Mul", "AveragePool"):
        return None
    readers = index.readers.get(node.output[0], [])
    if len(readers) != 1 or node.output[0] in index.outputs:
        return None
    after = readers[0]
    if any(fnmatch.fnmatchcase(after.name, pattern) for pattern in float_nodes):
        return None
    if after.op_type == "Relu":
        return after.output[0], (0.0, float("inf"))
    if after.op_type == "Clip":
        low, high = float("-inf"), float("inf")
        if len(after.input) > 1 and after.input[1]:
            value = index.value(after.input[1])
            if value is None:
                return None
            low = float(value)
        if len(after.input) > 2 and after.input[2]:
            value = index.value(after.input[2])
            if value is None:
                return None
            high = float(value)
        # Zero must be representable, so a range that excludes it cannot be expressed by saturation.
        return (after.output[0], (low, high)) if low <= 0.0 <= high else None
    return None
