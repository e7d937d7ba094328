"""The graphs of the convolution benchmark: chains of 3×3 convolutions in QDQ and in fp32, and a whole network."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from edgepress.exporters.torch_onnx import export_module
from edgepress.nn import Ternary, ternarise
from edgepress.nn.ternary_frozen import freeze
from edgepress.tensor import TensorSpec
from tests.benchmarks.ternary.cifar import Network

STEP = 0.02  # of the activations, whose zero point is 0: each follows a Relu


def chain(channels: int, size: int, depth: int, largest: int) -> onnx.ModelProto:
    """Convolutions of weights of up to ``largest`` steps, static uint8 activations between them."""
    rng = np.random.default_rng(0)
    terms = channels * 9
    deviation = np.sqrt((largest**2 + largest) / 3) * np.sqrt(terms)
    stored: dict[str, np.ndarray] = {"s": np.float32(STEP), "z": np.uint8(0)}  # type: ignore[dict-item]
    nodes = []
    for i in range(depth):
        stored |= {
            f"w{i}": rng.integers(-largest, largest + 1, (channels, channels, 3, 3)).astype(np.int8),
            f"ws{i}": rng.uniform(0.8, 1.2, channels).astype(np.float32) / np.float32(deviation),
            f"b{i}": rng.integers(0, 20, channels).astype(np.int32),
        }
        stored[f"bs{i}"] = stored[f"ws{i}"] * np.float32(STEP)
        given = "x" if i == 0 else f"r{i - 1}"
        nodes += [
            helper.make_node("QuantizeLinear", [given, "s", "z"], [f"q{i}"]),
            helper.make_node("DequantizeLinear", [f"q{i}", "s", "z"], [f"d{i}"]),
            helper.make_node("DequantizeLinear", [f"w{i}", f"ws{i}"], [f"wd{i}"], axis=0),
            helper.make_node("DequantizeLinear", [f"b{i}", f"bs{i}"], [f"bd{i}"], axis=0),
            helper.make_node("Conv", [f"d{i}", f"wd{i}", f"bd{i}"], [f"c{i}"], pads=[1] * 4),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
        ]
    last = f"r{depth - 1}"
    nodes += [
        helper.make_node("QuantizeLinear", [last, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    return _model(nodes, stored, channels, size)


def floating(channels: int, size: int, depth: int) -> onnx.ModelProto:
    """The same convolutions in fp32."""
    rng = np.random.default_rng(0)
    stored: dict[str, np.ndarray] = {}
    nodes = []
    for i in range(depth):
        weight = rng.standard_normal((channels, channels, 3, 3)) / np.sqrt(channels * 9)
        stored |= {f"w{i}": weight.astype(np.float32), f"b{i}": np.zeros(channels, np.float32)}
        given = "x" if i == 0 else f"r{i - 1}"
        nodes += [
            helper.make_node("Conv", [given, f"w{i}", f"b{i}"], [f"c{i}"], pads=[1] * 4),
            helper.make_node("Relu", [f"c{i}"], ["y" if i == depth - 1 else f"r{i}"]),
        ]
    return _model(nodes, stored, channels, size)


def _model(
    nodes: list[onnx.NodeProto], stored: dict[str, np.ndarray], channels: int, size: int
) -> onnx.ModelProto:
    shape = (1, channels, size, size)
    graph = helper.make_graph(
        nodes, "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def networks(width: int = 32) -> dict[str, onnx.ModelProto]:
    """The CIFAR-10 network with random weights: ternary, int8 by ONNX Runtime's quantiser, and fp32."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.items = iter([{"x": torch.randn(1, 3, 32, 32).numpy()} for _ in range(8)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.items, None)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = Network(width).train()
    for _ in range(3):
        network(torch.randn(32, 3, 32, 32))
    plain = _exported(network)
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        onnx.save(plain, before)
        quantize_static(
            before, after, Noise(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        eight = onnx.load(after)
    ternarise(network, Ternary())
    for _ in range(3):
        network(torch.randn(32, 3, 32, 32))
    return {"ternary": _exported(freeze(network)), "own int8": eight, "own fp32": plain}


def _exported(network: torch.nn.Module) -> onnx.ModelProto:
    given = (TensorSpec("x", (1, 3, 32, 32), "float32"),)
    model: onnx.ModelProto = export_module(network.eval(), given, max_opset=21, max_ir=10).model
    model.graph.node.append(helper.make_node("Identity", [model.graph.output[0].name], ["y"]))
    model.graph.output[0].name = "y"
    return model
