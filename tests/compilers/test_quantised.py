"""QDQ graphs run in integers and agree with ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgepress.graph.index import put_constant
from edgepress.targets import load_target
from edgepress.targets.compilers.ort import compile_graph
from edgepress.targets.compilers.tvm.prepare import prepare
from edgepress.targets.compilers.tvm.qdq import integer_regions
from tests.compilers import networks
from tests.compilers.quantised_graphs import Case, Operator, beside
from tests.compilers.running import compiled, random_inputs, reference

pytestmark = pytest.mark.filterwarnings("ignore")


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(3)
        self.items = iter([{name: rng.standard_normal(shape).astype(np.float32)} for _ in range(4)])

    def get_next(self) -> Any:
        return next(self.items, None)


def _quantised(network: torch.nn.Module, shape: tuple[int, ...], kind: Any, folder: Path) -> onnx.ModelProto:
    torch.manual_seed(0)
    model = networks.exported(network, torch.zeros(*shape))
    onnx.save(model, folder / "float.onnx")
    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", _Noise(model.graph.input[0].name, shape),
        quant_format=QuantFormat.QDQ, per_channel=True, activation_type=kind, weight_type=QuantType.QInt8,
    )  # fmt: skip
    return onnx.load(folder / "int8.onnx")


def _output_step(model: onnx.ModelProto) -> float:
    """The scale of the last dequantisation on the way to the output."""
    makers = {node.output[0]: node for node in model.graph.node}
    scales = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    node = makers[model.graph.output[0].name]
    while node.op_type != "DequantizeLinear":
        assert node.op_type in ("Reshape", "Flatten", "Squeeze", "ReduceMean"), node.op_type
        node = makers[node.input[0]]
    return float(scales[node.input[1]].reshape(()))


@pytest.mark.parametrize("kind", [QuantType.QUInt8, QuantType.QInt8], ids=["unsigned", "signed"])
@pytest.mark.parametrize("name", ["mobile", "residual", "sound"])
def test_a_quantised_network_is_within_two_steps(name: str, kind: Any, tmp_path: Path) -> None:
    network, shape = {
        "mobile": (networks.small_mobile(), (1, 3, 49, 49)),
        "residual": (networks.Residual(), (1, 3, 35, 33)),
        "sound": (torch.nn.Sequential(*list(networks.sound().children())[:-1]), (1, 1, 800)),
    }[name]
    model = _quantised(network, shape, kind, tmp_path)
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs, 5)
    # The graph as written: the optimised AveragePool of ONNX Runtime counts wrongly at edges of ceil mode.
    found, expected = native.run(inputs), reference(model, inputs, optimised=False)
    for key, value in expected.items():
        assert np.abs(found[key] - value).max() <= 2.001 * _output_step(model)


def _around() -> torch.nn.Module:
    """An inverted residual: what passes it by is read by a convolution and by an addition."""

    class Around(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.up = torch.nn.Conv2d(3, 24, 3, 2, 1), torch.nn.Conv2d(24, 72, 1)
            self.deep, self.down = torch.nn.Conv2d(72, 72, 3, 1, 1, groups=72), torch.nn.Conv2d(72, 24, 1)
            self.head = torch.nn.Linear(24, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.nn.functional.relu6(self.stem(x))
            x = x + self.down(torch.nn.functional.relu6(self.deep(self.up(x))))
            result: torch.Tensor = self.head(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))
            return result

    return Around()


@pytest.mark.parametrize("kind", [QuantType.QUInt8, QuantType.QInt8], ids=["unsigned", "signed"])
@pytest.mark.parametrize("make", [networks.small_mobile, _around], ids=["mobile", "residual"])
def test_a_quantised_network_equals_onnx_runtimes_integer_operators(
    make: Callable[[], torch.nn.Module], kind: Any, tmp_path: Path
) -> None:
    model = _quantised(make(), (1, 3, 49, 49), kind, tmp_path)
    kernels, native = compiled(model, tmp_path)
    for seed in range(5):
        inputs = random_inputs(kernels.inputs, seed)
        found, expected = native.run(inputs), reference(model, inputs)
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_residual_sums_round_as_onnx_runtimes_do(kind: type, tmp_path: Path) -> None:
    # Every pair of values, on grids that give many ties and on others.
    rng, low = np.random.default_rng(2), int(np.iinfo(kind).min)
    grids = [(0.5, 0.25, 1.0), (0.75, 0.25, 0.5), *rng.uniform(0.01, 0.09, (6, 3)).tolist()]
    nodes, constants, inputs, outputs = [], [], [], []
    for i, scales in enumerate(grids):
        for name, scale in zip("abq", scales, strict=True):
            constants.append(numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}{i}s"))
            zero = kind(low + int(rng.integers(0, 200)))
            constants.append(numpy_helper.from_array(np.asarray(zero), f"{name}{i}z"))
        for name in "ab":
            given = [f"{name}{i}", f"{name}{i}s", f"{name}{i}z"]
            nodes.append(onnx.helper.make_node("DequantizeLinear", given, [f"{name}{i}f"]))
        nodes.append(onnx.helper.make_node("Add", [f"a{i}f", f"b{i}f"], [f"y{i}"]))
        nodes.append(onnx.helper.make_node("QuantizeLinear", [f"y{i}", f"q{i}s", f"q{i}z"], [f"q{i}"]))
        element = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        inputs += [
            onnx.helper.make_tensor_value_info(f"{name}{i}", element, (1, 4, 128, 128)) for name in "ab"
        ]
        outputs.append(onnx.helper.make_tensor_value_info(f"q{i}", element, (1, 4, 128, 128)))
    graph = onnx.helper.make_graph(nodes, "sums", inputs, outputs, constants)
    opsets = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    every = np.indices((256, 256)).reshape(2, 1, 4, 128, 128) + low
    feed = {
        f"{name}{i}": every[side].astype(kind) for i in range(len(grids)) for side, name in enumerate("ab")
    }
    found, expected = compiled(model, tmp_path)[1].run(feed), reference(model, feed)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, key)


def test_onnx_runtime_for_an_arm_board_leaves_nothing_signed_to_float(tmp_path: Path) -> None:
    model = _quantised(_around(), (1, 3, 49, 49), QuantType.QInt8, tmp_path)
    counts = Counter(node.op_type for node in compile_graph(model, load_target("rpi5")).graph.node)
    assert (counts["QLinearConv"], counts["QLinearAdd"]) == (4, 1)
    assert counts["Conv"] == counts["Add"] == 0


def test_convolutions_are_done_in_integers(tmp_path: Path) -> None:
    model = integer_regions(
        prepare(_quantised(networks.small_mobile(), (1, 3, 49, 49), QuantType.QUInt8, tmp_path))
    )
    counts = Counter(node.op_type for node in model.graph.node)
    assert counts["EpQConv"] == 7
    assert counts["EpQDense"] == 1
    assert counts["Conv"] == counts["Gemm"] == counts["Clip"] == counts["Relu"] == 0
    assert counts["DequantizeLinear"] <= 2


def test_one_convolution_is_exactly_the_formula(tmp_path: Path) -> None:
    model = _quantised(
        torch.nn.Sequential(torch.nn.Conv2d(5, 19, 3, 2, 1)), (1, 5, 23, 18), QuantType.QUInt8, tmp_path
    )
    kernels, native = compiled(model, tmp_path)
    inputs = random_inputs(kernels.inputs, 11)
    found, expected = native.run(inputs), reference(model, inputs)
    step = _output_step(model)
    for key, value in expected.items():
        steps = np.rint(np.abs(found[key] - value) / step)
        assert steps.max() <= 1
        assert (steps > 0).mean() < 0.002  # ONNX Runtime rounds ties of its own product order


def test_a_bias_of_each_row_is_not_taken_for_one_of_each_output(tmp_path: Path) -> None:
    operator = Operator(Case(9, 3, (), batch=3, zero=100), np.uint8, 0)
    operator.bias = np.array([[9000], [0], [-9000]], np.int32)
    operator.scales[:] = operator.scales[0]
    model = beside([operator])
    put_constant(model.graph, "c0sb", operator.scales[0] * operator.scale_in)
    _, native = compiled(model, tmp_path)
    found = native.run({"c0x": operator.input})["c0q"].astype(int)
    assert np.abs(found - operator.expected()).max() <= 1


@pytest.mark.parametrize(
    ("scales", "zeros"),
    [
        ((0.08357405, 0.019829473, 0.086692534), (124, 138, 124)),
        ((0.06635374, 0.019574966, 0.080775745), (115, 129, 115)),
        ((0.031, 0.09, 0.07), (3, 250, 100)),
    ],
)
def test_a_residual_rounds_every_pair_as_onnx_runtime_does(
    scales: tuple[float, ...], zeros: tuple[int, ...], tmp_path: Path
) -> None:
    names = ("a", "b", "c")
    constants = [
        numpy_helper.from_array(np.array(s, np.float32), f"{n}s") for n, s in zip(names, scales, strict=True)
    ]
    constants += [
        numpy_helper.from_array(np.array(z, np.uint8), f"{n}z") for n, z in zip(names, zeros, strict=True)
    ]
    nodes = [helper.make_node("DequantizeLinear", [n, f"{n}s", f"{n}z"], [f"{n}f"]) for n in "ab"]
    nodes.append(helper.make_node("Add", ["af", "bf"], ["cf"]))
    nodes.append(helper.make_node("QuantizeLinear", ["cf", "cs", "cz"], ["c"]))
    infos = [helper.make_tensor_value_info(n, TensorProto.UINT8, (1, 256, 256)) for n in names]
    model = helper.make_model(
        helper.make_graph(nodes, "pairs", infos[:2], infos[2:], constants),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
    )  # fmt: skip
    a, b = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8), indexing="ij")
    inputs = {"a": a[None].copy(), "b": b[None].copy()}
    _, native = compiled(model, tmp_path)
    np.testing.assert_array_equal(native.run(inputs)["c"], reference(model, inputs)["c"])
