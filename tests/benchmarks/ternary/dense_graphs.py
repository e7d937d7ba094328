"""One dense layer in every form that is compared: fp32 in, fp32 out, the same ternary weights in all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.compilers.dynamic_graphs import Part, dynamic_nodes

Array = np.ndarray[Any, Any]

BLOCK = 128  # inputs that share a scale in ONNX Runtime's kernels of few bits


def ternary_weight(inputs: int, outputs: int, seed: int) -> tuple[Array, Array]:
    """int8 ``[inputs, outputs]`` of −1, 0 and 1, and what a 1 is worth in each output."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-1, 2, (inputs, outputs)).astype(np.int8)
    return weight, np.full(outputs, 0.7 / inputs**0.5, np.float32)


def model_of(part: Part, inputs: int, outputs: int, rows: int) -> onnx.ModelProto:
    """A model of one input ``x`` ``[rows, inputs]`` and one output ``y`` ``[rows, outputs]``."""
    nodes, constants = part
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (rows, width))
        for name, width in (("x", inputs), ("y", outputs))
    ]
    graph = helper.make_graph(nodes, "dense", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def ternary(rows: int, inputs: int, outputs: int, layers: int = 1) -> onnx.ModelProto:
    """Ternary layers one after another, each of weights of its own."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for i in range(layers):
        weight, step = ternary_weight(inputs if not i else outputs, outputs, i)
        names = ("x" if not i else f"y{i - 1}", "y" if i == layers - 1 else f"y{i}")
        more = dynamic_nodes(*names, weight, step, np.linspace(-1, 1, outputs, dtype=np.float32), f"l{i}.")
        nodes, constants = nodes + more[0], constants + more[1]
    return model_of((nodes, constants), inputs, outputs, rows)


def float32(rows: int, inputs: int, outputs: int) -> onnx.ModelProto:
    """The same in fp32."""
    weight, step = ternary_weight(inputs, outputs, 0)
    bias = np.linspace(-1, 1, outputs, dtype=np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    constants = [numpy_helper.from_array(weight * step, "w"), numpy_helper.from_array(bias, "b")]
    return model_of((nodes, constants), inputs, outputs, rows)


def dynamic_int8(rows: int, inputs: int, outputs: int) -> onnx.ModelProto:
    """ONNX Runtime's own dynamic quantisation of the fp32 layer."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = float32(rows, inputs, outputs)
    gemm = model.graph.node.pop()
    model.graph.node.extend(
        [helper.make_node("MatMul", list(gemm.input[:2]), ["p"]), helper.make_node("Add", ["p", "b"], ["y"])]
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "a.onnx", Path(folder) / "b.onnx"
        onnx.save(model, str(source))
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        return onnx.load(str(target))


def few_bits(bits: int) -> Callable[[int, int, int], onnx.ModelProto]:
    """``MatMulNBits`` with sums in int8 (accuracy level 4)."""

    def made(rows: int, inputs: int, outputs: int) -> onnx.ModelProto:
        weight, step = ternary_weight(inputs, outputs, 0)
        each, blocks = 8 // bits, inputs // BLOCK
        codes = (
            (weight.T.astype(np.int16) + (1 << bits - 1)).astype(np.uint8).reshape(outputs, blocks, -1, each)
        )
        shifts = bits * np.arange(each, dtype=np.uint8)
        packed = np.bitwise_or.reduce(codes << shifts, axis=-1)
        constants = {
            "w": packed, "s": np.repeat(step, blocks), "b": np.linspace(-1, 1, outputs, dtype=np.float32),
        }  # fmt: skip
        node = helper.make_node(
            "MatMulNBits", ["x", "w", "s", "", "", "b"], ["y"], domain="com.microsoft",
            K=inputs, N=outputs, bits=bits, block_size=BLOCK, accuracy_level=4,
        )  # fmt: skip
        return model_of(
            ([node], [numpy_helper.from_array(v, k) for k, v in constants.items()]), inputs, outputs, rows
        )

    return made


def static_int8(rows: int, inputs: int, outputs: int) -> onnx.ModelProto:
    """QDQ: steps known before, of the input and of the output."""
    weight, step = ternary_weight(inputs, outputs, 0)
    # Codes in use of all eight bits, so that nothing takes them for ternary ones.
    wide = (weight.astype(np.int16) * 127).astype(np.int8)
    wide[0, 0] = 126
    bias = np.rint(np.linspace(-1, 1, outputs) / (0.03 * step / 127)).astype(np.int32)
    constants = {
        "sx": np.float32(0.03), "zx": np.uint8(128), "w": wide, "sw": (step / 127).astype(np.float32),
        "sy": np.float32(0.03), "b": bias, "sb": (np.float32(0.03) * step / 127).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "sw"], ["wf"], axis=1),
        helper.make_node("DequantizeLinear", ["b", "sb"], ["bf"], axis=0),
        helper.make_node("Gemm", ["xf", "wf", "bf"], ["yf"]),
        helper.make_node("QuantizeLinear", ["yf", "sy", "zx"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "sy", "zx"], ["y"]),
    ]
    return model_of(
        (nodes, [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]),
        inputs,
        outputs,
        rows,
    )
