"""int8: integers from end to end, close to the float network, and the same bytes each time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgepress.errors import DataError, SourceError, UsageError
from edgepress.graph.index import Index
from edgepress.methods import configure, find_method
from edgepress.metrics.signal import sqnr_db
from edgepress.progress import silent
from tests.compilers.graphs import random_graph
from tests.graph.graphs import build, ops, results

SHAPE = (1, 3, 12, 12)


def feeds(count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> list[dict[str, np.ndarray]]:
    generator = np.random.default_rng(seed)
    return [{"x": generator.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def network(seed: int = 0) -> onnx.ModelProto:
    """Convolutions of all kinds, two clips, an addition, a concatenation, pools, a matrix product."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        fan = np.prod(shape[1:])
        # Channels of very different size, as folded batch norms leave them.
        size = np.exp(rng.uniform(-2, 1, (shape[0],) + (1,) * (len(shape) - 1)))
        return np.asarray(rng.standard_normal(shape) * size / np.sqrt(fan), np.float32)

    def bias(n: int) -> np.ndarray:
        return (rng.standard_normal(n) * 0.3).astype(np.float32)

    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w1", "b1"], ["c1"], name="stem", pads=[1, 1, 1, 1], strides=[2, 2]),
        make("Clip", ["c1", "zero", "six"], ["a1"], name="stem/clip"),
        make("Conv", ["a1", "w2", "b2"], ["c2"], name="depth", pads=[1, 1, 1, 1], group=16),
        make("Relu", ["c2"], ["a2"], name="depth/relu"),
        make("Conv", ["a2", "w3"], ["c3"], name="project"),
        make("Add", ["a1", "c3"], ["s"], name="add"),
        make("MaxPool", ["s"], ["p"], name="pool", kernel_shape=[2, 2]),
        make("Conv", ["p", "w4", "b4"], ["c4"], name="left"),
        make("Conv", ["p", "w5", "b5"], ["c5"], name="right"),
        make("Concat", ["c4", "c5"], ["k"], name="join", axis=1),
        make("GlobalAveragePool", ["k"], ["g"], name="mean"),
        make("Flatten", ["g"], ["f"], name="flat"),
        make("Gemm", ["f", "w6", "b6"], ["y"], name="head", transB=1),
    ]
    constants = {
        "w1": weight(16, 3, 3, 3), "b1": bias(16), "w2": weight(16, 1, 3, 3), "b2": bias(16),
        "w3": weight(16, 16, 1, 1), "w4": weight(8, 16, 1, 1), "b4": bias(8), "w5": weight(8, 16, 1, 1),
        "b5": bias(8), "w6": weight(10, 16), "b6": bias(10), "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
    }  # fmt: skip
    return build(nodes, constants, SHAPE)


def press(
    model: onnx.ModelProto, activations: str = "uint8", count: int = 24, **keys: Any
) -> onnx.ModelProto:
    method = find_method("int8")
    return method.press(model, feeds(count), configure(method, keys), activations, silent).graph


def noise_db(model: onnx.ModelProto, pressed: onnx.ModelProto) -> float:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    both = [ort.InferenceSession(m.SerializeToString(), options) for m in (model, pressed)]
    rows = [np.concatenate([s.run(None, feed)[0] for feed in feeds(40, seed=9)]) for s in both]
    return sqnr_db(rows[0], rows[1])


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_close_to_float_and_integers_from_end_to_end(activations: str) -> None:
    pressed = press(network(), activations)
    onnx.checker.check_model(pressed, full_check=True)
    assert noise_db(network(), pressed) > 25
    assert not {"Clip", "Relu"} & set(ops(pressed))
    index = Index.of(pressed.graph)
    for node in pressed.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            assert all(
                index.producer[name].op_type == "DequantizeLinear"
                for name in node.input[:2]
                if name in index.producer
            )
            assert all(reader.op_type == "QuantizeLinear" for reader in index.readers[node.output[0]])
    kinds = {item.data_type for item in pressed.graph.initializer if item.name.endswith(".zero_point")}
    assert getattr(onnx.TensorProto, activations.upper()) in kinds


def test_onnx_runtime_runs_it_on_integers(tmp_path: Any) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "o.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 4
    ort.InferenceSession(press(network()).SerializeToString(), options)
    found = ops(onnx.load(tmp_path / "o.onnx"))
    assert found.count("QLinearConv") == 5 and "QGemm" in found and "QLinearAdd" in found
    assert not {"Conv", "Gemm", "Add"} & set(found)


def test_weights_have_a_scale_a_channel_and_biases_32_bits() -> None:
    index = Index.of(press(network()).graph)
    q, scale = index.value("w1.q"), index.value("w1.scale")
    assert q is not None and scale is not None
    assert q.dtype == np.int8 and scale.shape == (16,) and int(q.min()) >= -127
    bias, bias_scale, source = (index.value(name) for name in ("stem.bias.q", "stem.bias.scale", "x.scale"))
    assert bias is not None and bias_scale is not None and source is not None and bias.dtype == np.int32
    np.testing.assert_array_equal(bias_scale, scale * source)


def test_what_moves_values_shares_one_range() -> None:
    graph = press(network()).graph
    scale = {node.input[0]: node.input[1] for node in graph.node if node.op_type == "QuantizeLinear"}
    assert scale["s"] == scale["p"] and scale["c4"] == scale["c5"] == scale["k"] and scale["g"] == scale["f"]


def test_a_clipped_tensor_and_a_wider_one_meet_without_losing_the_clip() -> None:
    model = network()
    clip = helper.make_node("Clip", ["c4", "zero", "six"], ["a4"], name="left/clip")
    at = [node.name for node in model.graph.node].index("join")
    model.graph.node[at].input[0] = "a4"
    model.graph.node.insert(at, clip)
    assert noise_db(model, press(model)) > 25


def test_the_bytes_repeat() -> None:
    assert press(network()).SerializeToString() == press(network()).SerializeToString()


def test_compensation_beats_nearest_and_both_beat_a_tensor_scale() -> None:
    plain = network()
    none = noise_db(plain, press(plain, rounding="nearest", correct_bias=False, per_channel=False))
    nearest = noise_db(plain, press(plain, rounding="nearest"))
    compensated = noise_db(plain, press(plain))
    assert none < nearest < compensated + 1.0  # on noise, with little covariance to use, they are close


def test_correlated_inputs_are_where_compensation_pays() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((4, 64)).astype(np.float32)
    inputs = [{"x": rng.standard_normal((16, 4)).astype(np.float32) @ mixing} for _ in range(16)]
    weight = rng.standard_normal((64, 32)).astype(np.float32)
    model = build([helper.make_node("Gemm", ["x", "w"], ["y"])], {"w": weight}, (16, 64))
    method = find_method("int8")
    errors = []
    for rounding in ("nearest", "compensated"):
        config = configure(method, {"rounding": rounding, "quantise_output": False, "weight_bits": 7})
        index = Index.of(method.press(model, inputs, config, "int8", silent).graph.graph)
        q, scale = index.value("w.q"), index.value("w.scale")
        assert q is not None and scale is not None
        x = np.concatenate([feed["x"] for feed in inputs])
        error = x @ (q * scale - weight)
        errors.append(float(np.mean((error - error.mean(axis=0)) ** 2)))
    assert errors[1] < errors[0] / 4


@pytest.mark.parametrize("calibration", ["minmax", "percentile", "entropy", "mse"])
def test_every_calibration(calibration: str) -> None:
    assert noise_db(network(), press(network(), calibration=calibration)) > 15


def test_nodes_left_in_float() -> None:
    pressed = press(network(), float_nodes=["stem", "stem/*", "head"])
    index = Index.of(pressed.graph)
    assert "w1" in index.constants and "w6" in index.constants and "w2.q" in index.constants
    assert "Clip" in ops(pressed) and noise_db(network(), pressed) > 25


def test_a_float_output_on_request() -> None:
    graph = press(network(), quantise_output=False).graph
    assert Index.of(graph).producer["y"].op_type == "Gemm"


def test_seven_bits_stay_within_seven_bits() -> None:
    index = Index.of(press(network(), weight_bits=7).graph)
    weights = [index.value(name) for name in sorted(index.constants) if re.fullmatch(r"w\d\.q", name)]
    largest = [int(np.abs(value).max()) for value in weights if value is not None]
    assert len(largest) == 6 and max(largest) <= 63


def test_a_dead_channel_keeps_its_bias() -> None:
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[1] = 1.0
    bias = np.array([5.0, -100.0], np.float32)
    model = build([helper.make_node("Conv", ["x", "w", "b"], ["y"], name="c")], {"w": weight, "b": bias})
    method = find_method("int8")
    calibration = feeds(4, shape=(1, 3, 8, 8))
    graph = method.press(model, calibration, method.config(), "uint8", silent).graph
    (given,), (wanted,) = results(graph), results(model)
    step = float(numpy_helper.to_array(next(i for i in graph.graph.initializer if i.name == "y.scale")))
    assert np.abs(given[:, 0] - wanted[:, 0]).max() <= step


def test_nothing_to_quantise_and_nothing_to_calibrate_on() -> None:
    method = find_method("int8")
    relu = build([helper.make_node("Relu", ["x"], ["y"])], {}, SHAPE)
    with pytest.raises(SourceError, match="no convolution or matrix product"):
        method.press(relu, feeds(1), method.config(), "uint8", silent)
    with pytest.raises(DataError, match="to calibrate on"):
        method.press(network(), [], method.config(), "uint8", silent)
    with pytest.raises(UsageError, match="uint8 or int8"):
        method.press(network(), feeds(1), method.config(), "int4", silent)
    with pytest.raises(DataError, match="lacks 'x'"):
        method.press(network(), [{"z": np.zeros(SHAPE, np.float32)}], method.config(), "uint8", silent)
    with pytest.raises(DataError, match="does not fit"):
        method.press(network(), [{"x": np.zeros((1, 3, 5, 5), np.float32)}], method.config(), "uint8", silent)
    with pytest.raises(DataError, match="infinite or NaN"):
        method.press(network(), [{"x": np.full(SHAPE, np.nan, np.float32)}], method.config(), "uint8", silent)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), activations=st.sampled_from(["uint8", "int8"]))
def test_random_graphs_are_pressed_or_refused(seed: int, activations: str) -> None:
    model = random_graph(seed)
    generator = np.random.default_rng(seed)
    shapes = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in model.graph.input}
    inputs = [
        {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(3)
    ]
    method = find_method("int8")
    try:
        pressed = method.press(model, inputs, method.config(), activations, silent).graph
    except SourceError as error:
        assert "can be quantised" in str(error)
        return
    onnx.checker.check_model(pressed, full_check=True)
    assert [item.name for item in pressed.graph.output] == [item.name for item in model.graph.output]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # The optimised graph, as it ships, against the float network on an input it was calibrated on.
    given = ort.InferenceSession(pressed.SerializeToString(), options).run(None, inputs[0])
    wanted = ort.InferenceSession(model.SerializeToString(), options).run(None, inputs[0])
    for ours, theirs in zip(given, wanted, strict=True):
        spread = float(np.max(np.abs(theirs), initial=0.0)) + 1e-3
        # Normalisations blow errors up where values are nearly equal or very large.
        if not {"LayerNormalization", "Softmax"} & set(ops(model)):
            assert np.abs(ours - theirs).max(initial=0.0) < 0.25 * spread
