"""Put nodes after what they read."""

from __future__ import annotations

import heapq

import onnx

from edgepress.errors import SourceError
from edgepress.graph.index import copy_of, reads, replace_nodes


def sort_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A topological order that keeps the given order where it is free to.

    Raises:
        SourceError: the graph has a cycle, or a node reads a tensor that nothing makes.
    """
    new = copy_of(model)
    graph = new.graph
    known = {item.name for item in graph.input} | {item.name for item in graph.initializer}
    known |= {item.values.name for item in graph.sparse_initializer}
    waiting: dict[str, list[int]] = {}
    missing: list[int] = []
    ready: list[int] = []
    for i, node in enumerate(graph.node):
        needs = [name for name in reads(node) if name not in known]
        missing.append(len(needs))
        for name in needs:
            waiting.setdefault(name, []).append(i)
        if not needs:
            ready.append(i)
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for name in graph.node[i].output:
            for reader in waiting.pop(name, []) if name else []:
                missing[reader] -= 1
                if missing[reader] == 0:
                    heapq.heappush(ready, reader)
    if len(order) != len(graph.node):
        stuck = next(node for i, node in enumerate(graph.node) if missing[i])
        raise SourceError(
            f"the node {stuck.name or stuck.op_type!r} waits for a tensor that nothing before it makes;"
            " the graph has a cycle or a missing input"
        )
    replace_nodes(graph, [graph.node[i] for i in order])
    return new
