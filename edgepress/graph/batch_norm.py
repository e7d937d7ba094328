"""Fold a batch normalisation into the convolution or matrix product before it."""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.index import Index, attribute, copy_of, put_constant, replace_nodes

_HOSTS = frozenset({"Conv", "ConvTranspose", "Gemm"})


def fold_batch_norm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Scale weights and bias so that ``BatchNormalization`` after Conv, ConvTranspose or Gemm goes.

    y = (x·W + b − mean) · gamma / sqrt(var + epsilon) + beta (Ioffe and Szegedy 2015, in inference), in
    double precision. A host whose output or weight anything else reads is left alone.
    """
    new = copy_of(model)
    graph = new.graph
    index = Index.of(graph)
    dropped: set[int] = set()
    for node in graph.node:
        if (
            node.op_type != "BatchNormalization"
            or any(node.output[1:])
            or attribute(node, "training_mode", 0)
        ):
            continue
        host = index.producer.get(node.input[0])
        parameters = [index.value(name) for name in node.input[1:5]]
        if host is None or host.op_type not in _HOSTS or any(item is None for item in parameters):
            continue
        if len(index.readers[node.input[0]]) != 1 or node.input[0] in index.outputs or id(host) in dropped:
            continue
        weight = index.value(host.input[1])
        has_bias = len(host.input) > 2 and bool(host.input[2])
        old_bias = index.value(host.input[2]) if has_bias else np.zeros(())
        if weight is None or old_bias is None or (host.op_type == "Gemm" and not _plain_gemm(host)):
            continue
        gamma, beta, mean, variance = (np.asarray(item, np.float64) for item in parameters)
        factor = gamma / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        bias = (old_bias.astype(np.float64) - mean) * factor + beta
        axis = _output_axis(host)
        group = attribute(host, "group", 1)
        if axis == 1 and group > 1:
            continue
        scaled = weight.astype(np.float64) * factor.reshape(
            [-1 if i == axis else 1 for i in range(weight.ndim)]
        )
        name = host.name or host.output[0]
        put_constant(graph, f"{name}.folded_weight", scaled.astype(weight.dtype))
        put_constant(graph, f"{name}.folded_bias", bias.astype(weight.dtype))
        data = host.input[0]
        del host.input[:]
        host.input.extend([data, f"{name}.folded_weight", f"{name}.folded_bias"])
        host.output[0] = node.output[0]
        dropped.add(id(node))
    if not dropped:
        return remove_dead_ends(new)
    replace_nodes(graph, [node for node in graph.node if id(node) not in dropped])
    return fold_batch_norm(new)  # one normalisation may stand behind another


def _output_axis(host: onnx.NodeProto) -> int:
    if host.op_type == "ConvTranspose":
        return 1
    return 0 if host.op_type == "Conv" or attribute(host, "transB", 0) else 1


def _plain_gemm(host: onnx.NodeProto) -> bool:
    return bool(attribute(host, "alpha", 1.0) == 1.0 and attribute(host, "beta", 1.0) == 1.0)
