"""One pool of weights for several graphs: each distinct tensor is stored once, aligned, ready to be
mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from edgepress.graph.index import copy_of

ALIGNMENT = 64
LOCATION = "weights.bin"


@dataclass(frozen=True)
class PooledTensor:
    """Where one initialiser of one graph lies in the pool.

    Attributes:
        graph: the graph's name among those pooled.
        name: the initialiser's name in that graph.
        dtype: a NumPy type name.
        shape: extents, outermost first.
        offset, length: bytes from the start of the pool; the offset is a multiple of 64.
    """

    graph: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def externalise(
    models: Mapping[str, onnx.ModelProto], threshold: int = 1024, location: str = LOCATION
) -> tuple[dict[str, onnx.ModelProto], bytes, list[PooledTensor]]:
    """Move every initialiser of at least ``threshold`` bytes into one pool, each distinct content once.

    Returns:
        The graphs, whose initialisers are now standard ONNX external data in ``location`` (beside the graph,
        an unpacked folder loads in any ONNX Runtime); the pool's bytes; and its index, in the order of the
        graphs.
    """
    pool = bytearray()
    seen: dict[bytes, int] = {}
    entries: list[PooledTensor] = []
    moved: dict[str, onnx.ModelProto] = {}
    for graph_name, model in models.items():
        new = copy_of(model)
        for tensor in new.graph.initializer:
            if tensor.data_type == onnx.TensorProto.STRING:
                continue
            value = numpy_helper.to_array(tensor)
            data = value.tobytes()  # ONNX is little-endian, and so are all machines this runs on
            if len(data) < threshold:
                continue
            key = hashlib.sha256(data).digest()
            offset = seen.get(key)
            if offset is None:
                pool.extend(bytes(-len(pool) % ALIGNMENT))
                offset = seen[key] = len(pool)
                pool.extend(data)
            _point_at(tensor, location, offset, len(data))
            shape = tuple(tensor.dims)
            entries.append(PooledTensor(graph_name, tensor.name, str(value.dtype), shape, offset, len(data)))
        moved[graph_name] = new
    return moved, bytes(pool), entries


def _point_at(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    bare = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=list(tensor.dims))
    bare.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        bare.external_data.add(key=key, value=value)
    tensor.CopyFrom(bare)
