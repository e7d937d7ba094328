"""Which ONNX nodes a kernel came from: marks that survive the passes over ONNX, and a match through fusing.

Passes over ONNX copy a node's marks to what they make of it. The importer names each Relax variable after
the number of its node; fusing renames them, so the fused calls are matched, operand by operand, with the
calls as they stood before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from tvm import ir, relax

_VARIABLE = re.compile(r"ep_node(\d+)_\d*")
# A layer is called after the first of these that is in it, and after none of the last if it can be helped.
_HEAVY = ("Conv", "DepthwiseConv", "ConvTranspose", "Gemm", "MatMul", "MatMulInteger")
_LIGHT = (
    "QuantizeLinear",
    "DequantizeLinear",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Identity",
    "Cast",
)


@dataclass(frozen=True)
class Origin:
    """An ONNX node: its operator, and its name or, where it has none, its first output's."""

    op: str
    name: str


def mark(graph: onnx.GraphProto) -> None:
    """Note in each node what it is; the exporter's own notes go."""
    weights = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    dequantised = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        name = node.name or next(iter(node.output), "") or node.op_type
        grouped = any(attr.name == "group" and attr.i > 1 for attr in node.attribute)
        op = node.op_type
        if op == "Conv" and grouped:
            shape = weights.get(dequantised.get(node.input[1], node.input[1]), ())
            op = "DepthwiseConv" if shape[1:2] == (1,) else op
        node.doc_string = mark_of(op, name)


def mark_of(op: str, name: str) -> str:
    """What is noted of one node: one line."""
    return f"{op} {' '.join(name.split())}"


def marks_of(nodes: Iterable[onnx.NodeProto]) -> str:
    """The marks of several nodes together, each once, as the mark of what is made of them."""
    return "\n".join(dict.fromkeys(line for node in nodes for line in node.doc_string.splitlines()))


def origins_of(nodes: Iterable[onnx.NodeProto]) -> tuple[Origin, ...]:
    """What the marks of nodes say, the heaviest operator first."""
    found = [Origin(*line.split(" ", 1)) for line in marks_of(nodes).splitlines()]
    return tuple(sorted(found, key=lambda origin: (origin.op not in _HEAVY, origin.op in _LIGHT)))


def variable(number: int) -> str:
    """The name of a variable that the importer makes for the node of that number."""
    return f"ep_node{number}_"


def fused_from(before: Any, after: Any) -> list[list[int]]:
    """For each call of a fused ``main``, the numbers of the nodes it was made of; empty where nothing matches.

    Args:
        before: ``main`` before fusing, its variables named by :func:`variable`.
        after: the module fused, its groups still functions of their own.
    """
    owners, made, fields = _owners(before)
    # A variable after fusing, and the one before (several for a tuple); constants have none, in a group neither.
    same: dict[Any, Any] = dict(zip(after["main"].params, before.params, strict=False))
    found = []
    for binding in _bindings(after["main"]):
        value = binding.value
        group = after[value.op] if _calls_group(value) else None
        if isinstance(group, relax.Function):
            inside = {p: same[a] for p, a in zip(group.params, value.args, strict=True) if a in same}
            numbers = [
                owners[old] for step in _bindings(group) for old in _follow(step, inside, made, fields)
            ]
            result = group.body.body
            if isinstance(result, relax.Tuple):
                same[binding.var] = tuple(inside.get(field) for field in result.fields)
            elif result in inside:
                same[binding.var] = inside[result]
            found.append(sorted(set(numbers)))
        else:
            olds = _follow(binding, same, made, fields)
            if _is_kernel(value):
                found.append([owners[old] for old in olds])
    return found


def _follow(
    binding: Any, same: dict[Any, Any], made: dict[Any, list[Any]], fields: dict[Any, Any]
) -> list[Any]:
    """Note what a binding's variable was before fusing; the kernel's variable, where it is a kernel that matches."""
    value = binding.value
    if _is_kernel(value):
        # Calls that look alike are taken in order.
        candidates = made.get(_key(value, same), [])
        if candidates:
            same[binding.var] = candidates.pop(0)
            return [same[binding.var]]
    elif isinstance(value, ir.Var) and value in same:
        same[binding.var] = same[value]
    elif isinstance(value, relax.TupleGetItem) and value.tuple_value in same:
        whole = same[value.tuple_value]
        old = whole[value.index] if isinstance(whole, tuple) else fields.get((whole, value.index))
        if old is not None:
            same[binding.var] = old
    return []


def _calls_group(value: Any) -> bool:
    return isinstance(value, relax.Call) and isinstance(value.op, ir.GlobalVar)


def _owners(main: Any) -> tuple[dict[Any, int], dict[Any, list[Any]], dict[Any, Any]]:
    """The node of each variable, the variables by what they hold, and those of each tuple's fields.

    An unnamed variable's node is that of the next named one.
    """
    owners: dict[Any, int] = {}
    made: dict[Any, list[Any]] = {}
    fields: dict[Any, Any] = {}
    waiting: list[Any] = []
    last = 0
    for binding in _bindings(main):
        waiting.append(binding.var)
        if _is_kernel(binding.value):
            made.setdefault(_key(binding.value, None), []).append(binding.var)
        elif isinstance(binding.value, relax.TupleGetItem):
            fields[binding.value.tuple_value, binding.value.index] = binding.var
        named = _VARIABLE.fullmatch(binding.var.name)
        if named:
            last = int(named.group(1))
            owners.update(dict.fromkeys(waiting, last))
            waiting = []
    owners.update(dict.fromkeys(waiting, last))
    return owners, made, fields


def _key(call: Any, same: dict[Any, Any] | None) -> tuple[Any, ...]:
    """The kernel's name and its operands as variables before fusing; None where they are those already."""
    operands: Sequence[Any] = call.args[1].fields if isinstance(call.args[1], relax.Tuple) else [call.args[1]]
    if same is not None:
        return call.args[0].name_hint, tuple(same[a] for a in operands if a in same)
    return call.args[0].name_hint, tuple(a for a in operands if isinstance(a, ir.Var))


def _is_kernel(value: Any) -> bool:
    return isinstance(value, relax.Call) and str(getattr(value.op, "name", "")) == "relax.call_tir"


def _bindings(function: Any) -> list[Any]:
    return [binding for block in function.body.blocks for binding in block.bindings]
