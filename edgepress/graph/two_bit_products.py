"""Ternary dense layers as ONNX Runtime's products of two-bit weights (``com.microsoft.MatMulNBits``).

It rounds a row of activations anew in each block of 128 where the layer has one scale a row: another function, by
about one per cent of a layer's result. One row takes 0.3 to 0.6 of the time of the exact integer product, two 0.4 to
0.9, four up to 1.5 where the weights are in the cache (measured on AVX-512 with VNNI, 1024 and 2048 square). Weights
stay at two bits in memory. Without such instructions, or Arm's dot product, the operator computes in float.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, copy_of, put_constant, replace_nodes
from edgepress.graph.shapes import along_last_axis, infer_shapes
from edgepress.graph.ternary_storage import is_ternary, joined

BLOCK = 128  # smaller blocks are slower than the exact product
MOST_ROWS = 2
DOMAIN = "com.microsoft"
_ROW_ZERO = 128


@dataclass(frozen=True)
class _Dense:
    """A dense layer of dynamic rows: what goes in, int8 codes ``[inputs, outputs]``, steps, bias, what comes out."""

    source: str
    codes: np.ndarray
    step: np.ndarray
    bias: np.ndarray | None
    result: str


def use_two_bit_products(model: onnx.ModelProto, most_rows: int = MOST_ROWS) -> onnx.ModelProto:
    """The graph with its ternary layers of dynamic rows as ``MatMulNBits``; the others stay.

    Args:
        model: tidy, with int8 codes (not packed ones) and known shapes.
        most_rows: layers of more rows stay, and those whose inputs are no multiple of 128.
    """
    new = copy_of(model)
    index = Index.of(new.graph)
    made: dict[str, onnx.NodeProto] = {}
    for node in new.graph.node:
        dense = _dense(node, index) if node.op_type == "MatMulInteger" else None
        rows = index.shape(dense.source) if dense is not None else None
        if dense is None or rows is None or len(dense.codes) % BLOCK or np.prod(rows[:-1]) > most_rows:
            continue
        made[dense.result] = _product(dense, new.graph)
    if not made:
        return model
    replace_nodes(new.graph, [made.get(node.output[0], node) for node in new.graph.node])
    if all(item.domain != DOMAIN for item in new.opset_import):
        new.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return infer_shapes(remove_dead_ends(new))


def two_bit_weights(codes: np.ndarray) -> np.ndarray:
    """int8 codes ``[inputs, outputs]`` as the operator stores them: uint8 ``[outputs, blocks, 32]``, codes plus two."""
    fields = (codes.T + 2).astype(np.uint8).reshape(codes.shape[1], -1, BLOCK // 4, 4)
    return joined(fields)


def _product(dense: _Dense, graph: onnx.GraphProto) -> onnx.NodeProto:
    inputs, outputs = dense.codes.shape
    scales = np.broadcast_to(dense.step.reshape(-1, 1), (outputs, inputs // BLOCK)).astype(np.float32)
    put_constant(graph, f"{dense.result}.two_bits", two_bit_weights(dense.codes))
    put_constant(graph, f"{dense.result}.scales", np.ascontiguousarray(scales))
    given = [dense.source, f"{dense.result}.two_bits", f"{dense.result}.scales"]
    if dense.bias is not None:
        put_constant(graph, f"{dense.result}.bias", np.broadcast_to(dense.bias.reshape(-1), (outputs,)))
        given += ["", "", f"{dense.result}.bias"]
    # A zero point left out means two; accuracy level 4 is eight-bit activations.
    return helper.make_node(
        "MatMulNBits", given, [dense.result], name=f"{dense.result}/MatMulNBits", domain=DOMAIN,
        K=inputs, N=outputs, bits=2, block_size=BLOCK, accuracy_level=4,
    )  # fmt: skip


def _dense(product: onnx.NodeProto, index: Index) -> _Dense | None:
    """The layer around an integer product, or None where it is another."""
    codes, zero = index.value(product.input[1]), _number(product.input[2:3], index)
    if codes is None or codes.dtype != np.int8 or codes.ndim != 2 or not is_ternary(codes):
        return None
    rounded = _behind(product.input[0], ("Cast", "Add", "Clip", "Round", "Mul"), index)
    cast = _only_reader(product.output[0], "Cast", index)
    scaled = _only_reader(cast.output[0], "Mul", index) if cast is not None else None
    if zero != _ROW_ZERO or rounded is None or scaled is None or cast is None:
        return None
    share = index.producer.get(_other(scaled, cast.output[0]))
    if share is None or share.op_type != "Div" or share.input[1] not in rounded.input:
        return None
    step = index.value(share.input[0])
    source = _other(rounded, share.input[1])
    outputs, rank = codes.shape[1], len(index.shape(source) or ())
    if step is None or not along_last_axis(step, outputs, rank):
        return None
    step = np.broadcast_to(step.reshape(-1), (outputs,))
    biased = _only_reader(scaled.output[0], "Add", index)
    bias = index.value(_other(biased, scaled.output[0])) if biased is not None else None
    if biased is None or bias is None or not along_last_axis(bias, outputs, rank):
        return _Dense(source, codes, step, None, scaled.output[0])
    return _Dense(source, codes, step, bias, biased.output[0])


def _behind(name: str, operators: tuple[str, ...], index: Index) -> onnx.NodeProto | None:
    """The last of a chain of operators, from the one that makes ``name`` up."""
    node = None
    for operator in operators:
        node = index.producer.get(name)
        if node is None or node.op_type != operator:
            return None
        name = node.input[0]
    return node


def _only_reader(name: str, operator: str, index: Index) -> onnx.NodeProto | None:
    readers = index.readers.get(name, [])
    fits = len(readers) == 1 and readers[0].op_type == operator and name not in index.outputs
    return readers[0] if fits else None


def _other(node: onnx.NodeProto, name: str) -> str:
    return str(node.input[1] if node.input[0] == name else node.input[0])


def _number(names: object, index: Index) -> float | None:
    value = next((index.value(name) for name in names), None)  # type: ignore[attr-defined]
    return float(value.reshape(())) if value is not None and value.size == 1 else None
