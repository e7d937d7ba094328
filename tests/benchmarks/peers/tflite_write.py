"""From the benchmark's ONNX graphs, float or QDQ, to TFLite: the same numbers in the layout of LiteRT.

Pictures lie channels last; unsigned integers become signed ones by moving the zero point by 128, which
changes no result. What TFLite has no operator for (layer norm) is spelt out; a GELU is recognised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgepress.graph.index import Index, attribute
from tests.benchmarks.peers.inputs import Array
from tests.benchmarks.peers.tflite_model import TfliteModel

_NONE, _RELU, _RELU6 = 0, 1, 3  # ActivationFunctionType


def write_tflite(model: onnx.ModelProto) -> bytes:
    """The flatbuffer; inputs and outputs keep their names and order, pictures are NHWC.

    Raises:
        NotImplementedError: an operator or a form of it that the benchmark's networks do not have.
    """
    return _Writer(model).write()


class _Writer:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.onnx = model.graph
        self.index = Index.of(model.graph)
        self.out = TfliteModel()
        self.done: dict[str, int] = {}  # ONNX name to tensor
        self.skipped: set[int] = set()

    def write(self) -> bytes:
        for info in self.onnx.input:
            self.done[info.name] = self.out.tensor(info.name, self.extents(info.name))
        inputs = list(self.done.values())
        for node in self.onnx.node:
            if id(node) in self.skipped:
                continue
            if node.op_type == "Div" and self.gelu(node):
                continue
            method = getattr(self, f"op_{node.op_type.lower()}", None)
            if method is None:
                raise NotImplementedError(f"{node.op_type} has no TFLite form here")
            method(node)
        return self.out.finish(inputs, [self.value(info.name) for info in self.onnx.output])

    # Tensors.

    def extents(self, name: str) -> list[int]:
        """A tensor's shape in TFLite's layout."""
        shape = list(self.index.shape(name) or ())
        return [shape[i] for i in (0, 2, 3, 1)] if len(shape) == 4 else shape

    def constant_of(self, name: str) -> Array | None:
        found = self.index.value(name)
        return None if found is None else np.asarray(found)

    def value(self, name: str) -> int:
        """The tensor for an ONNX value; integers are dequantised where a float operator asks for them."""
        if name not in self.done:
            constant = self.constant_of(name)
            maker = self.index.producer.get(name)
            if constant is not None:
                self.done[name] = self.out.constant(name, constant.astype(np.float32))
            elif maker is not None and maker.op_type == "DequantizeLinear":
                made = self.out.tensor(name, self.extents(name))
                self.done[name] = self.out.operator("DEQUANTIZE", [self.done[maker.input[0]]], made)
            else:
                raise NotImplementedError(f"nothing makes {name}")
        return self.done[name]

    def scale(self, node: onnx.NodeProto) -> tuple[Array, int]:
        """Scale and signed zero point of a Q or DQ."""
        scale, zero = self.constant_of(node.input[1]), self.constant_of(node.input[2])
        assert scale is not None and zero is not None
        return scale, int(zero.flat[0]) - (128 if zero.dtype == np.uint8 else 0)

    def quantised(self, name: str, quantise: onnx.NodeProto) -> int:
        scale, zero = self.scale(quantise)
        made = self.out.tensor(name, self.extents(quantise.input[0]), "int8", scale=scale, zero=zero)
        self.done[quantise.output[0]] = made
        return made

    def data(self, node: onnx.NodeProto, count: int) -> tuple[list[int], onnx.NodeProto | None]:
        """The first inputs, as integers with the Q behind the node where the whole node is an integer one."""
        makers = [self.index.producer.get(name) for name in node.input[:count]]
        readers = self.index.readers.get(node.output[0], [])
        if (
            all(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)
            and len(readers) == 1 and readers[0].op_type == "QuantizeLinear"
        ):  # fmt: skip
            return [self.done[maker.input[0]] for maker in makers if maker is not None], readers[0]
        return [self.value(name) for name in node.input[:count]], None

    def result(
        self, node: onnx.NodeProto, quantise: onnx.NodeProto | None, fuse: bool = False
    ) -> tuple[int, int]:
        """The output tensor and the activation fused into the operator."""
        if quantise is not None:
            self.skipped.add(id(quantise))
            return self.quantised(f"{node.output[0]}.integers", quantise), _NONE
        name, activation = node.output[0], _NONE
        readers = self.index.readers.get(name, [])
        if fuse and len(readers) == 1 and readers[0].op_type in ("Relu", "Clip"):
            after = readers[0]
            if after.op_type == "Relu":
                activation = _RELU
            elif [self.constant_of(bound) for bound in after.input[1:]] == [0.0, 6.0]:
                activation = _RELU6
            if activation:
                self.skipped.add(id(after))
                name = after.output[0]
        self.done[name] = self.out.tensor(name, self.extents(name))
        return self.done[name], activation

    def weights(self, name: str, order: tuple[int, ...], axis: int, given: int | None) -> tuple[int, Any]:
        """Weights in another order; integers keep the scales of their channels, which lie on ``axis``."""
        maker = self.index.producer.get(name)
        if maker is None or given is None:
            plain = self.constant_of(name)
            if plain is None and maker is not None:
                raise NotImplementedError("integer weights of a float operator")
            assert plain is not None
            return self.out.constant(name, np.transpose(plain, order)), None
        integers, (scale, zero) = self.constant_of(maker.input[0]), self.scale(maker)
        assert integers is not None and zero == 0
        turned = np.transpose(integers, order)
        return self.out.tensor(name, turned.shape, "int8", data=turned, scale=scale, axis=axis), scale

    def bias(self, node: onnx.NodeProto, channels: int, scales: Any, given: int) -> int:
        if scales is None:
            values = self.constant_of(node.input[2]) if len(node.input) > 2 else None
            return self.out.constant(
                f"{node.output[0]}.bias", np.zeros(channels, np.float32) if values is None else values
            )
        scale = np.float32(self.out.graph.tensors[given].quantization.scale[0]) * scales
        data = np.zeros(channels, np.int32)
        if len(node.input) > 2:
            found = self.constant_of(self.index.producer[node.input[2]].input[0])
            assert found is not None
            data = found.astype(np.int32)
        return self.out.tensor(f"{node.output[0]}.bias", data.shape, "int32", data=data, scale=scale)

    # Operators.

    def op_quantizelinear(self, node: onnx.NodeProto) -> None:
        before = self.value(node.input[0])
        self.out.operator("QUANTIZE", [before], self.quantised(node.output[0], node))

    def op_dequantizelinear(self, node: onnx.NodeProto) -> None:
        """Made when a float operator, or the graph's output, asks for it."""

    def op_conv(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        shape = self.index.shape(node.input[1]) or ()
        groups = attribute(node, "group", 1)
        if groups not in (1, shape[0]) or (groups > 1 and shape[1] != 1):
            raise NotImplementedError("grouped convolution")
        deep = groups > 1
        order, axis = ((1, 2, 3, 0), 3) if deep else ((0, 2, 3, 1), 0)
        weights, scales = self.weights(node.input[1], order, axis, given if quantise else None)
        bias = self.bias(node, shape[0], scales, given)
        strides = attribute(node, "strides", [1, 1])
        given, padding = self.padded(node, given, list(shape[2:]), strides)
        result, activation = self.result(node, quantise, fuse=True)
        fields = dict(
            padding=padding, strideH=strides[0], strideW=strides[1], fusedActivationFunction=activation
        )
        if deep:
            self.out.operator("DEPTHWISE_CONV_2D", [given, weights, bias], result, "DepthwiseConv2DOptions",
                              depthMultiplier=1, dilationHFactor=1, dilationWFactor=1, **fields)  # fmt: skip
        else:
            self.out.operator("CONV_2D", [given, weights, bias], result, "Conv2DOptions",
                              dilationHFactor=1, dilationWFactor=1, **fields)  # fmt: skip

    def padded(
        self, node: onnx.NodeProto, given: int, kernel: list[int], strides: list[int]
    ) -> tuple[int, int]:
        """The padding's name where TFLite has one that fits, else an operator that pads before."""
        pads = list(attribute(node, "pads", [0, 0, 0, 0]))
        if not any(pads):
            return given, schema.Padding.VALID
        extents = self.out.shape(given)[1:3]
        same = [
            max(0, (-(-n // s) - 1) * s + k - n) for n, s, k in zip(extents, strides, kernel, strict=True)
        ]
        if pads == [same[0] // 2, same[1] // 2, same[0] - same[0] // 2, same[1] - same[1] // 2]:
            return given, schema.Padding.SAME
        rows, columns = extents[0] + pads[0] + pads[2], extents[1] + pads[1] + pads[3]
        old = self.out.graph.tensors[given]
        batch, _, _, channels = self.out.shape(given)
        made = self.out.tensor(f"{node.output[0]}.padded", (batch, rows, columns, channels))
        self.out.graph.tensors[made].type = old.type
        self.out.graph.tensors[made].quantization = old.quantization
        table = np.array([[0, 0], [pads[0], pads[2]], [pads[1], pads[3]], [0, 0]], np.int32)
        amounts = self.out.constant(f"{node.output[0]}.pads", table)
        return self.out.operator("PAD", [given, amounts], made, "PadOptions"), schema.Padding.VALID

    def op_maxpool(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        kernel, strides = attribute(node, "kernel_shape", None), attribute(node, "strides", [1, 1])
        given, padding = self.padded(node, given, kernel, strides)  # zeros: what is pooled follows a ReLU
        result, _ = self.result(node, quantise)
        self.out.operator(
            "MAX_POOL_2D", [given], result, "Pool2DOptions", padding=padding, strideH=strides[0],
            strideW=strides[1], filterHeight=kernel[0], filterWidth=kernel[1], fusedActivationFunction=_NONE,
        )  # fmt: skip

    def op_globalaveragepool(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        result, _ = self.result(node, quantise)
        axes = self.out.integers(f"{node.output[0]}.axes", [1, 2])
        self.out.operator("MEAN", [given, axes], result, "ReducerOptions", keepDims=True)

    def op_gemm(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        order = (0, 1) if attribute(node, "transB", 0) else (1, 0)
        weights, scales = self.weights(node.input[1], order, 0, given if quantise else None)
        bias = self.bias(node, self.out.shape(weights)[0], scales, given)
        result, activation = self.result(node, quantise, fuse=True)
        self.out.operator("FULLY_CONNECTED", [given, weights, bias], result, "FullyConnectedOptions",
                          fusedActivationFunction=activation)  # fmt: skip

    def op_matmul(self, node: onnx.NodeProto) -> None:
        # In float: XNNPACK leaves integer products of two activations to slower code.
        given = [self.value(name) for name in node.input[:2]]
        result, _ = self.result(node, None)
        self.out.operator("BATCH_MATMUL", given, result, "BatchMatMulOptions", adjX=False, adjY=False)

    def op_add(self, node: onnx.NodeProto) -> None:
        self.elementwise(node, "ADD", "AddOptions")

    def op_mul(self, node: onnx.NodeProto) -> None:
        self.elementwise(node, "MUL", "MulOptions")

    def elementwise(self, node: onnx.NodeProto, kind: str, options: str) -> None:
        given, quantise = self.data(node, 2)
        result, activation = self.result(node, quantise, fuse=True)
        self.out.operator(kind, given, result, options, fusedActivationFunction=activation)

    def op_clip(self, node: onnx.NodeProto) -> None:
        raise NotImplementedError("a Clip that no operator takes in")

    def op_relu(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        self.out.operator("RELU", [given], self.result(node, quantise)[0])

    def op_reshape(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        result, _ = self.result(node, quantise)
        shape = self.out.shape(result)
        extents = self.out.integers(f"{node.output[0]}.shape", shape)
        self.out.operator("RESHAPE", [given, extents], result, "ReshapeOptions", newShape=shape)

    def op_transpose(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        order = self.out.integers(f"{node.output[0]}.order", attribute(node, "perm", []))
        self.out.operator("TRANSPOSE", [given, order], self.result(node, quantise)[0], "TransposeOptions")

    def op_concat(self, node: onnx.NodeProto) -> None:
        given, quantise = self.data(node, len(node.input))
        self.out.operator(
            "CONCATENATION", given, self.result(node, quantise)[0], "ConcatenationOptions",
            axis=attribute(node, "axis", 0), fusedActivationFunction=_NONE,
        )  # fmt: skip

    def op_softmax(self, node: onnx.NodeProto) -> None:
        (given,), quantise = self.data(node, 1)
        self.out.operator("SOFTMAX", [given], self.result(node, quantise)[0], "SoftmaxOptions", beta=1.0)

    def op_layernormalization(self, node: onnx.NodeProto) -> None:
        """Mean, squared differences, their mean, its inverse root: all floats."""
        x, name = self.value(node.input[0]), node.output[0]
        shape = self.out.shape(x)
        axes = self.out.integers(f"{name}.axes", [len(shape) - 1])

        def step(kind: str, suffix: str, given: list[int], options: str, thin: bool, **fields: Any) -> int:
            made = self.out.tensor(f"{name}.{suffix}", [*shape[:-1], 1] if thin else shape)
            return self.out.operator(kind, given, made, options, **fields)

        plain = {"fusedActivationFunction": _NONE}
        mean = step("MEAN", "mean", [x, axes], "ReducerOptions", True, keepDims=True)
        apart = step("SUB", "centred", [x, mean], "SubOptions", False, **plain)
        squares = step("MUL", "squares", [apart, apart], "MulOptions", False, **plain)
        spread = step("MEAN", "variance", [squares, axes], "ReducerOptions", True, keepDims=True)
        little = self.out.constant(
            f"{name}.epsilon", np.array([attribute(node, "epsilon", 1e-5)], np.float32)
        )
        spread = step("ADD", "above_zero", [spread, little], "AddOptions", True, **plain)
        factor = step("RSQRT", "factor", [spread], "", True)
        y = step("MUL", "normal", [apart, factor], "MulOptions", False, **plain)
        y = step("MUL", "scaled", [y, self.value(node.input[1])], "MulOptions", False, **plain)
        result, _ = self.result(node, None)
        self.out.operator("ADD", [y, self.value(node.input[2])], result, "AddOptions", **plain)

    def gelu(self, node: onnx.NodeProto) -> bool:
        """Whether the Div begins x/√2 → Erf → +1 → two Mul, one of them by x; writes it as one operator."""
        chain = [node]
        while len(chain) < 5:
            readers = self.index.readers.get(chain[-1].output[0], [])
            if len(readers) != 1:
                return False
            chain.append(readers[0])
        if [one.op_type for one in chain] != ["Div", "Erf", "Add", "Mul", "Mul"]:
            return False
        self.skipped.update(id(one) for one in chain)
        result, _ = self.result(chain[-1], None)
        self.out.operator("GELU", [self.value(node.input[0])], result, "GeluOptions", approximate=False)
        return True
