"""Remove nodes that hand their input on unchanged."""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of, replace_nodes, subgraphs


def remove_identities(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop Identity, Dropout (inference), and Cast, Reshape, Transpose and Pad that change nothing.

    Names of the graph's inputs and outputs stay. An identity straight from an input to an output stays too.
    """
    new = copy_of(model)
    graph = new.graph
    index = Index.of(graph)
    if any(True for node in graph.node for _ in subgraphs(node)):
        return new  # inner graphs capture outer names; renaming those is not worth the risk
    stands_for: dict[str, str] = {}
    dropped: set[int] = set()
    for node in graph.node:
        if not _changes_nothing(node, index):
            continue
        source = stands_for.get(node.input[0], node.input[0])
        if node.output[0] not in index.outputs:
            stands_for[node.output[0]] = source
            dropped.add(id(node))
        elif source in index.producer and source not in index.outputs:
            # The name of an output is kept: the node before takes it over.
            maker = index.producer[source]
            maker.output[list(maker.output).index(source)] = node.output[0]
            stands_for[source] = node.output[0]
            for old, target in list(stands_for.items()):
                if target == source:
                    stands_for[old] = node.output[0]
            dropped.add(id(node))
    kept = [node for node in graph.node if id(node) not in dropped]
    for node in kept:
        for i in range(len(node.input)):
            while node.input[i] in stands_for:
                node.input[i] = stands_for[node.input[i]]
    replace_nodes(graph, kept)
    return remove_dead_ends(new)


def _changes_nothing(node: onnx.NodeProto, index: Index) -> bool:
    if node.domain not in ("", "ai.onnx") or len(node.input) == 0:
        return False
    name = node.input[0]
    if node.op_type == "Identity":
        return True
    if node.op_type == "Dropout":
        training = index.value(node.input[2]) if len(node.input) > 2 and node.input[2] else np.array(False)
        mask_used = len(node.output) > 1 and node.output[1] in index.readers
        return not mask_used and training is not None and not bool(training)
    if node.op_type == "Cast":
        return name in index.types and index.types[name][0] == attribute(node, "to")
    if node.op_type == "Reshape":
        before, after = index.shape(name), index.shape(node.output[0])
        return before is not None and before == after
    if node.op_type == "Transpose":
        order = attribute(node, "perm")
        return order is not None and list(order) == sorted(order)
    if node.op_type == "Pad":
        pads = index.value(node.input[1]) if len(node.input) > 1 else None
        return pads is not None and not np.any(pads)
    return False
