"""Ternary weights stored at two bits each in standard operators, which runtimes compute once as they load.

::

    uint8 [n / 4] ─ Cast int32 ─ Gather from a table int8 [256, 4] ─ Reshape ─► int8 codes as before

Byte i holds the codes 4i to 4i + 3 of the weight's own order, each plus one, the first in the lowest bits. Folding
constants leaves the int8 codes before runtimes look for integer products: results and speed are those of the
plain graph. (Shifts and masks in place of the table took 2.5 times as long to load, and twice the memory.)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of, put_constant, replace_nodes

SMALLEST = 2048  # weights; below, the nodes take more than they save
_A_BYTE = 4
_PLACES = np.array([0, 2, 4, 6], np.uint8)
_PARTS = (
    "packed",
    "shape",
    "size",
    "index",
    "fours",
    "filled",
    "flat",
)  # names of what is added for a weight
_TABLE, _FLAT, _FIRST = "ternary.table", "ternary.flat", "ternary.first"


def is_ternary(weight: np.ndarray) -> bool:
    """Whether weights, whole numbers of any shape, are all −1, 0 or 1."""
    return bool(((weight >= -1) & (weight <= 1)).all())


def joined(fields: np.ndarray) -> np.ndarray:
    """Four numbers of two bits, uint8 ``[..., 4]``, as one byte, the first in the lowest bits: uint8 ``[...]``."""
    return np.asarray(np.bitwise_or.reduce(fields << _PLACES, axis=-1), np.uint8)


def pack_codes(codes: np.ndarray) -> np.ndarray:
    """Codes of −1, 0 and 1, of any shape, as uint8 ``[ceil(size / 4)]``; the last byte is filled with zeros."""
    filled = np.ones(-(-codes.size // _A_BYTE) * _A_BYTE, np.uint8)
    filled[: codes.size] = (codes.reshape(-1) + 1).astype(np.uint8)
    return joined(filled.reshape(-1, _A_BYTE))


def code_table() -> np.ndarray:
    """The four codes of each byte, int8 ``[256, 4]``; the field 3, which no weight has, is 0."""
    fields = (np.arange(256, dtype=np.uint8)[:, None] >> _PLACES) & 3
    return np.asarray(np.array([-1, 0, 1, 0], np.int8)[fields])


def pack_ternary(model: onnx.ModelProto, smallest: int = SMALLEST) -> onnx.ModelProto:
    """The graph with each int8 weight of only −1, 0 and 1 at two bits; other graphs come back as they are.

    Args:
        model: a graph of opset 13 or newer.
        smallest: weights of fewer elements stay, and so do vectors, such as zero points.
    """
    new = copy_of(model)
    index = Index.of(model.graph)
    if not index.constants.keys().isdisjoint((_TABLE, _FLAT, _FIRST)):
        return new  # packed already, or somebody else's names
    kept: list[onnx.TensorProto] = []
    extra: list[onnx.NodeProto] = []
    for tensor in new.graph.initializer:
        codes = _to_pack(tensor, index, smallest)
        if codes is None:
            kept.append(tensor)
            continue
        cut = codes.size % _A_BYTE != 0
        parts = {"packed": pack_codes(codes), "shape": np.array(codes.shape, np.int64)}
        parts |= {"size": np.array([codes.size], np.int64)} if cut else {}
        kept += [numpy_helper.from_array(value, f"{tensor.name}.{part}") for part, value in parts.items()]
        extra += _unpacking(tensor.name, cut)
    if not extra:
        return new
    tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del new.graph.initializer[:]
    new.graph.initializer.extend(tensors)
    put_constant(new.graph, _TABLE, code_table())
    put_constant(new.graph, _FLAT, np.array([-1], np.int64))
    put_constant(new.graph, _FIRST, np.array([0], np.int64))
    replace_nodes(new.graph, [*extra, *new.graph.node])
    return remove_dead_ends(new)


def unpack_ternary(model: onnx.ModelProto) -> onnx.ModelProto:
    """What :func:`pack_ternary` was given: int8 weights in place of the nodes that compute them."""
    index = Index.of(model.graph)
    found = {}
    for node in model.graph.node:
        codes = _unpacked(node, index) if node.op_type == "Reshape" else None
        if codes is not None and node.output[0] not in index.outputs:
            found[node.output[0]] = codes
    if not found:
        return model
    new = copy_of(model)
    replace_nodes(new.graph, [node for node in new.graph.node if node.output[0] not in found])
    new.graph.initializer.extend(numpy_helper.from_array(codes, name) for name, codes in found.items())
    return remove_dead_ends(new)


def _to_pack(tensor: onnx.TensorProto, index: Index, smallest: int) -> np.ndarray | None:
    """A weight's codes where it is one to pack."""
    if tensor.data_type != onnx.TensorProto.INT8 or len(tensor.dims) < 2 or math.prod(tensor.dims) < smallest:
        return None
    if tensor.name not in index.constants or tensor.name in index.outputs:
        return None
    if any(f"{tensor.name}.{part}" in names for part in _PARTS for names in (index.producer, index.types)):
        return None
    codes = numpy_helper.to_array(tensor)
    return codes if is_ternary(codes) else None


def _unpacking(name: str, cut: bool) -> list[onnx.NodeProto]:
    def step(op: str, given: list[str], part: str, **attributes: Any) -> onnx.NodeProto:
        made = f"{name}.{part}" if part else name
        return helper.make_node(op, given, [made], name=f"{made}/{op}", **attributes)

    nodes = [
        step("Cast", [f"{name}.packed"], "index", to=onnx.TensorProto.INT32),
        step("Gather", [_TABLE, f"{name}.index"], "fours", axis=0),
    ]
    last = "fours"
    if cut:
        nodes.append(step("Reshape", [f"{name}.fours", _FLAT], "filled"))
        nodes.append(step("Slice", [f"{name}.filled", _FIRST, f"{name}.size"], "flat"))
        last = "flat"
    return [*nodes, step("Reshape", [f"{name}.{last}", f"{name}.shape"], "")]


def _unpacked(node: onnx.NodeProto, index: Index) -> np.ndarray | None:
    """The codes that the last node of an unpacking makes, or None where it is another node."""
    shape = index.value(node.input[1]) if len(node.input) > 1 else None  # before opset 5 an attribute
    if shape is None or shape.ndim != 1 or (shape < 1).any():
        return None
    size = math.prod(int(extent) for extent in shape)
    gather = index.producer.get(_uncut(node.input[0], size, index))
    if gather is None or gather.op_type != "Gather" or attribute(gather, "axis", 0) != 0:
        return None
    cast = index.producer.get(gather.input[1])
    packed = index.value(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
    table = index.value(gather.input[0])
    if packed is None or packed.dtype != np.uint8 or packed.shape != (-(-size // _A_BYTE),):
        return None
    if table is None or not np.array_equal(table, code_table()):
        return None
    return np.asarray(table[packed].reshape(-1)[:size].reshape(shape))


def _uncut(name: str, size: int, index: Index) -> str:
    """What is cut to the first ``size`` codes, or the name itself where nothing is cut."""
    cut = index.producer.get(name)
    if cut is None or cut.op_type != "Slice" or len(cut.input) != 3:
        return name
    first, end = index.value(cut.input[1]), index.value(cut.input[2])
    flat = index.producer.get(cut.input[0])
    if flat is None or flat.op_type != "Reshape" or first is None or end is None:
        return name
    return flat.input[0] if first.tolist() == [0] and end.tolist() == [size] else name
