"""Give nodes and tensors readable names that come out the same each time."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx

from edgepress.graph.index import Index, copy_of, subgraphs

_ODD = re.compile(r"[^A-Za-z0-9_./\-]+")


def rename(model: onnx.ModelProto, where: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """Call each node ``place/Op`` and each tensor between nodes after the node that makes it.

    Args:
        model: graph inputs and outputs keep their names, and so do initialisers named after a module.
        where: by the name of a node's first output, the module it comes from (such as ``features.3``). Where
            that is absent, a node with weights is named after them (``features.3.weight`` → ``features.3``).
    """
    new = copy_of(model)
    graph = new.graph
    if any(True for node in graph.node for _ in subgraphs(node)):
        return new  # inner graphs capture outer names
    index = Index.of(graph)
    fixed = {*index.inputs, *index.outputs, *(item.name for item in graph.initializer), ""}
    taken = set(fixed)
    renamed: dict[str, str] = {}
    nodes: set[str] = set()
    for node in graph.node:
        place = _place_by_weight(node, index) or (where or {}).get(node.output[0], "")
        node.name = _free(f"{place}/{node.op_type}" if place else node.op_type, nodes)
        nodes.add(node.name)
        for i, output in enumerate(node.output):
            if output not in fixed:
                renamed[output] = _free(node.name if i == 0 else f"{node.name}.{i}", taken)
                taken.add(renamed[output])
    # Anonymous constants (val_578) are numbered by the order in which they are read.
    for node in graph.node:
        for name in node.input:
            if name in index.constants and "." not in name and name not in renamed:
                renamed[name] = _free("constant", taken)
                taken.add(renamed[name])
    for item in graph.initializer:
        item.name = renamed.get(item.name, item.name)
    for node in graph.node:
        for fields in (node.input, node.output):
            for i, old in enumerate(fields):
                fields[i] = renamed.get(old, old)
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)
    return new


def _place_by_weight(node: onnx.NodeProto, index: Index) -> str:
    for name in node.input[1:2]:
        if name in index.constants and name.rsplit(".", 1)[-1] in ("weight", "folded_weight"):
            return _ODD.sub("_", name.rsplit(".", 1)[0])
    return ""


def _free(name: str, taken: set[str]) -> str:
    clean = _ODD.sub("_", name)
    if clean not in taken:
        return clean
    number = 2
    while f"{clean}_{number}" in taken:
        number += 1
    return f"{clean}_{number}"
