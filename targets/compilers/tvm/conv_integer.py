"""``ConvInteger`` by constant weights: a quantised convolution whose whole sums are stored as numbers.

Ternary convolutions with dynamic activations are exported so: codes of a whole image by one scale, whole
sums, ``Cast`` to fp32, and the scales behind it.
"""

from __future__ import annotations

import numpy as np
import onnx

from edgepress.targets.compilers.tvm.graph_editor import DOMAIN, attributes
from edgepress.targets.compilers.tvm.graph_matcher import GraphMatcher

_SETTINGS = ("strides", "dilations", "pads", "group", "auto_pad")


class ConvIntegers(GraphMatcher):
    """The pass itself."""

    def run(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with such convolutions as quantised ones; others stay."""
        sums, codes = {}, {}
        for node in self.graph.node:
            cast = self.only_reader(node.output[0], "Cast") if node.op_type == "ConvInteger" else None
            if cast is not None and not node.domain and attributes(cast)["to"] == onnx.TensorProto.FLOAT:
                sums[cast.output[0]] = codes[node.input[0]] = node
        for node in self.graph.node:
            name = node.output[0] if node.output else ""
            taken = name in sums and self._convolved(sums[name], node)
            if not taken and not (name in codes and self._quantised(codes[name], node)):
                self.nodes.append(node)
        self.drop_unread()
        return self.finish(model)

    def _convolved(self, conv: onnx.NodeProto, cast: onnx.NodeProto) -> bool:
        weight, shape = self.constants.get(conv.input[1]), self.shapes.get(conv.input[0])
        if weight is None or weight.dtype != np.int8 or weight.ndim not in (3, 4) or shape is None:
            return False
        zero, own = self._zero(conv, 2), self._zero(conv, 3)
        if zero is None or own is None or own.any():
            return False
        bias = -int(zero) * weight.reshape(len(weight), -1).sum(1, dtype=np.int64)
        attrs = {key: value for key, value in attributes(conv).items() if key in _SETTINGS}
        attrs |= {"zero_in": int(zero), "from": onnx.helper.np_dtype_to_tensor_dtype(zero.dtype)}
        self.origin = (conv, cast)
        inputs = [
            *conv.input[:2],
            self.constant(bias.astype(np.int32), cast.output[0]),
            self.constant(np.ones(len(weight), np.float32), cast.output[0]),
        ]
        self.node("EpQConv", inputs, cast.output[0], DOMAIN, to=onnx.TensorProto.FLOAT, bounded=0, **attrs)
        return True

    def _zero(self, conv: onnx.NodeProto, place: int) -> np.ndarray | None:
        """A zero point, one for all; None where it is not constant."""
        if len(conv.input) <= place or not conv.input[place]:
            return np.zeros((), np.uint8)
        value = self.constants.get(conv.input[place])
        return value.reshape(()) if value is not None and value.size == 1 else None

    def _quantised(self, conv: onnx.NodeProto, cast: onnx.NodeProto) -> bool:
        """Codes that ``Round → Clip → Add → Cast`` make, by one QuantizeLinear of step 1."""
        chain, zero = [cast], self._zero(conv, 2)
        for op in ("Add", "Clip", "Round"):
            made = self.makers.get(chain[-1].input[0])
            if made is None or made.op_type != op or made.domain:
                return False
            chain.append(made)
        _, add, clip, rounded = chain
        bounds = [self.constants.get(name) for name in (add.input[1], *clip.input[1:])]
        if zero is None or zero.dtype != np.uint8 or attributes(cast).get("to") != onnx.TensorProto.UINT8:
            return False
        if len(bounds) != 3 or any(value is None or value.size != 1 for value in bounds):
            return False
        moved, low, high = (float(value.reshape(())) for value in bounds if value is not None)
        if (moved, low + moved, high + moved) != (float(zero), 0.0, 255.0):
            return False
        self.origin = tuple(reversed(chain))
        step = self.constant(np.array(1, np.float32), cast.output[0])
        inputs = [rounded.input[0], step, self.constant(zero, cast.output[0])]
        self.node("QuantizeLinear", inputs, cast.output[0])
        return True


def integer_convolutions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite ConvInteger to quantised convolutions; graphs without it come back as they are.

    Args:
        model: with shapes inferred and constants as initializers.
    """
    if all(node.op_type != "ConvInteger" for node in model.graph.node):
        return model
    return ConvIntegers(model).run(model)
