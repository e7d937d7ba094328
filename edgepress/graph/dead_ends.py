"""Drop what no output needs: nodes, initialisers, and types of tensors that are gone."""

from __future__ import annotations

import onnx

from edgepress.graph.index import Index, copy_of, reads, replace_nodes


def remove_dead_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model in which everything leads to an output; the graph's inputs stay, used or not.

    The nodes must stand in order (:func:`edgepress.graph.order.sort_nodes`).

    Initialisers that are also graph inputs become plain constants (a deployed graph takes only activations).
    """
    new = copy_of(model)
    graph = new.graph
    index = Index.of(graph)
    needed = set(index.outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output if name):
            kept.append(node)
            needed.update(reads(node))
    replace_nodes(graph, kept[::-1])
    initialised = {item.name for item in graph.initializer}
    for i in range(len(graph.initializer) - 1, -1, -1):
        if graph.initializer[i].name not in needed:
            del graph.initializer[i]
    for i in range(len(graph.input) - 1, -1, -1):
        if graph.input[i].name in initialised:
            del graph.input[i]
    made = {name for node in graph.node for name in node.output}
    for i in range(len(graph.value_info) - 1, -1, -1):
        if graph.value_info[i].name not in made or graph.value_info[i].name in index.outputs:
            del graph.value_info[i]
    return new
