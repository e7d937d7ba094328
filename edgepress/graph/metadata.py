"""Remove what says where and when a graph was made, so that the same network gives the same bytes."""

from __future__ import annotations

from typing import Any

import onnx

from edgepress.graph.index import copy_of, subgraphs


def strip_metadata(model: onnx.ModelProto, producer: str = "edgepress") -> onnx.ModelProto:
    """Drop documentation strings, metadata properties (stack traces, paths) and producer versions."""
    new = copy_of(model)
    new.producer_name = producer
    for field in ("doc_string", "domain", "model_version", "producer_version"):
        new.ClearField(field)
    del new.metadata_props[:]
    _strip_graph(new.graph)
    for function in new.functions:
        _strip(function)
        for node in function.node:
            _strip(node)
    new.graph.name = "main"
    return new


def _strip_graph(graph: onnx.GraphProto) -> None:
    _strip(graph)
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        _strip(item)
    for node in graph.node:
        _strip(node)
        for field in node.attribute:
            field.ClearField("doc_string")
        for inner in subgraphs(node):
            _strip_graph(inner)


def _strip(item: Any) -> None:
    item.ClearField("doc_string")
    del item.metadata_props[:]
