"""At which precision each layer of a graph has its weights, and why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgepress.graph.index import Index, attribute
from edgepress.graph.ternary_storage import is_ternary

_WEIGHT = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1, "MatMulInteger": 1, "ConvInteger": 1}
TERNARY, INTEGER, FLOAT = "ternary", "int8", "float"


def precisions(model: onnx.ModelProto, kept: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Layers with weights by precision: ``ternary``, ``int8`` or ``float``.

    Args:
        model: a tidy graph; quantised layers have DequantizeLinear before their weights, or are integer products.
        kept: why layers are not ternary, by their names in the torch network, which nodes' names begin with.

    Returns:
        By precision, the nodes' names in the graph's order, each with the reason; a layer that is as it was
        asked for has none (an empty text).
    """
    index = Index.of(model.graph)
    found: dict[str, dict[str, str]] = {TERNARY: {}, INTEGER: {}, FLOAT: {}}
    for node in model.graph.node:
        if node.op_type not in _WEIGHT or node.domain not in ("", "ai.onnx"):
            continue
        name = node.input[_WEIGHT[node.op_type]]
        maker = index.producer.get(name)
        while maker is not None and maker.op_type in ("Transpose", "Reshape", "DequantizeLinear"):
            name = maker.input[0]
            maker = index.producer.get(name)
        weight = index.value(name)
        layer = node.name or node.output[0]
        if weight is None:
            if node.op_type != "MatMul":  # a product of two activations has no weights
                found[FLOAT][layer] = "its weights are computed"
        elif weight.dtype.kind == "f":
            found[FLOAT][layer] = _reason(layer, kept) or _unfit(node, index)
        else:
            ternary = weight.dtype == np.int8 and is_ternary(weight)
            found[TERNARY if ternary else INTEGER][layer] = "" if ternary else _reason(layer, kept)
    return found


def _reason(layer: str, kept: Mapping[str, str]) -> str:
    return next((why for name, why in kept.items() if layer == name or layer.startswith(f"{name}/")), "")


def _unfit(node: onnx.NodeProto, index: Index) -> str:
    """Why a layer is not on integers, where its form is the cause."""
    if node.op_type == "Gemm" and (
        attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
    ):
        return "a product with a factor of its own"
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return "its activations are transposed"
    if node.op_type == "MatMul" and len(index.shape(node.input[1]) or ()) != 2:
        return "a batch of matrices for weights"
    return ""
