"""Which files beside an ONNX file hold its weights, by the names that the file itself gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from edgepress.errors import SourceError
from edgepress.graph.index import subgraphs


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every constant of a model: initialisers and attributes, those of inner graphs and local functions too."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _of_node(node)


def location(tensor: onnx.TensorProto) -> str:
    """The file that a tensor names for its data, as it is written there."""
    return next((item.value for item in tensor.external_data if item.key == "location"), "")


def locate(tensor: onnx.TensorProto, file: Path) -> Path:
    """The file that holds an external tensor's data.

    Args:
        tensor: one whose data lies outside.
        file: the ONNX file; data must lie in its folder or below, links followed.

    Raises:
        SourceError: the data lies outside the folder, or is missing.
    """
    folder, name = file.resolve().parent, location(tensor)
    path = folder / name if "\0" not in name else folder
    outside = not name or "\0" in name or "\\" in name or Path(name).is_absolute()
    try:
        outside = outside or not path.resolve().is_relative_to(folder)
        there = not outside and path.is_file()
    except (OSError, RuntimeError):  # a name too long, or links in a circle
        there = False
    if outside:
        raise SourceError(
            f"{file} keeps the weights {tensor.name!r} in {name!r}, outside its own folder; put them beside it"
        )
    if not there:
        raise SourceError(
            f"{file} keeps the weights {tensor.name!r} in {name!r}, which is not there; copy it too"
        )
    return path


def external_files(content: bytes, file: Path) -> dict[str, Path]:
    """The files that hold weights of an ONNX file, by the name it gives them, sorted.

    Args:
        content: the file's bytes; where they are no ONNX there are no such files.
        file: where they were read.

    Raises:
        SourceError: see :func:`locate`.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's DecodeError, which is not imported for want of type stubs
        return {}
    outside = [item for item in tensors(model) if item.data_location == onnx.TensorProto.EXTERNAL]
    found = {location(item): item for item in outside}
    return {name: locate(found[name], file) for name in sorted(found)}


def _of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _of_node(node)


def _of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for item in node.attribute:
        if item.type == onnx.AttributeProto.TENSOR:
            yield item.t
        elif item.type == onnx.AttributeProto.TENSORS:
            yield from item.tensors
        elif item.type == onnx.AttributeProto.SPARSE_TENSOR:
            yield from (item.sparse_tensor.values, item.sparse_tensor.indices)
    for inner in subgraphs(node):
        yield from _of_graph(inner)
