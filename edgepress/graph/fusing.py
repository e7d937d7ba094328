"""Which nodes an engine computes together with the layer before them, so that they cost nothing of their own."""

from __future__ import annotations

import onnx

from edgepress.graph.index import Index

_FOR_EACH_ELEMENT = (
    "Abs", "BatchNormalization", "Cast", "Celu", "Clip", "Div", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid",
    "HardSwish", "Identity", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul", "Neg", "PRelu", "Pow", "Relu", "Selu",
    "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Add", "Tanh",
)  # fmt: skip
_MOVING = (
    "Constant",
    "Expand",
    "Flatten",
    "Pad",
    "Reshape",
    "Resize",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
    "Upsample",
)
_LAST = ("LogSoftmax", "Softmax")
_QUANTISING = ("DequantizeLinear", "QuantizeLinear")

LIGHT = frozenset((*_FOR_EACH_ELEMENT, *_MOVING, *_LAST, *_QUANTISING))
"""Operators whose work is small beside a layer's, and of which engines make a part of the layer before or behind."""


def fused(model: onnx.ModelProto) -> set[int]:
    """Positions of the nodes that work on each element of what one other node made, and alone read it."""
    index = Index.of(model.graph)
    found: set[int] = set()
    for position, node in enumerate(model.graph.node):
        if node.op_type not in _FOR_EACH_ELEMENT:
            continue
        read = {name for name in node.input if name and name not in index.constants}
        if len(read) == 1:
            (name,) = read
            if name in index.producer and len(index.readers.get(name, ())) == 1 and name not in index.outputs:
                found.add(position)
    return found
