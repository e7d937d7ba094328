"""int8 for what a network with ternary layers still has in float: those layers keep their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgepress.cli.precision import precision_table
from edgepress.errors import SourceError, UsageError
from edgepress.graph.index import Index
from edgepress.methods.int8 import Int8Config, press, quantise_rest
from edgepress.methods.int8.standing import retyped
from edgepress.nn import Ternary
from edgepress.progress import silent
from tests.compilers.graphs import random_graph
from tests.compilers.running import compiled
from tests.graph.graphs import ops
from tests.methods.ternary_nets import PICTURE, exported, residual, rows

Feeds = list[dict[str, np.ndarray[Any, Any]]]
LEVELS = tuple(ort.GraphOptimizationLevel.__members__.values())


@pytest.fixture(scope="module")
def pictures() -> tuple[onnx.ModelProto, dict[str, str]]:
    return residual()


@pytest.fixture(scope="module")
def attending() -> tuple[onnx.ModelProto, dict[str, str]]:
    return rows()


def feeds(model: onnx.ModelProto, count: int, seed: int = 0) -> Feeds:
    shape = tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim)
    rng = np.random.default_rng(seed)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def run(
    model: onnx.ModelProto, inputs: Feeds, level: Any = LEVELS[0], tensor: str = ""
) -> np.ndarray[Any, Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    if tensor and all(item.name != tensor for item in model.graph.output):
        opened.graph.output.append(onnx.helper.make_empty_tensor_value_info(tensor))
    session = ort.InferenceSession(opened.SerializeToString(), options)
    return np.stack([session.run([tensor or "output"], feed)[0] for feed in inputs])


def pressed(
    model: onnx.ModelProto, kept: dict[str, str], activations: str = "uint8"
) -> tuple[onnx.ModelProto, Any]:
    done = quantise_rest(model, feeds(model, 12), Int8Config(), activations, silent, kept)
    return done.graph, done.facts


def output_step(model: onnx.ModelProto) -> float:
    step = Index.of(model.graph).value("output.scale")
    assert step is not None
    return float(step)


def optimised(model: onnx.ModelProto, folder: Path) -> list[str]:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "o.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options)
    return ops(onnx.load(folder / "o.onnx"))


def test_the_whole_network_computes_on_integers(pictures: Any, tmp_path: Path) -> None:
    model, facts = pressed(*pictures)
    onnx.checker.check_model(model, full_check=True)
    found = optimised(model, tmp_path)
    assert found.count("QLinearConv") == 6 and found.count("QGemm") == 2 and "QLinearAdd" in found
    assert not {"Conv", "Gemm", "Add", "MatMul"} & set(found)
    assert facts["precisions"] == {
        "ternary": {name: "" for name in ("left/Conv", "deep/Conv", "right/Conv", "wide/Conv", "dense/Gemm")},
        "int8": {
            "stem/Conv": "the first layer", "each/Conv": "a convolution in 32 groups", "head/Gemm": "the last layer",
        },
        "float": {},
    }  # fmt: skip
    table = precision_table(facts)
    assert "a convolution in 32 groups" in table and "and 1 more" in table


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_every_level_of_onnx_runtime_gives_the_same_and_near_the_float_layers(
    pictures: Any, activations: str
) -> None:
    model, _ = pressed(pictures[0], pictures[1], activations)
    inputs = feeds(model, 8, seed=7)
    expected = run(pictures[0], inputs)
    results = [run(model, inputs, level) for level in LEVELS]
    step = output_step(model)
    assert max(float(np.abs(result - results[0]).max()) for result in results) < 2.01 * step
    assert float(np.abs(results[0] - expected).max()) < 0.05 * float(np.abs(expected).max())


def test_no_tensor_is_quantised_twice(pictures: Any) -> None:
    model, _ = pressed(*pictures)
    index = Index.of(model.graph)
    quantised = [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantised) == len(set(quantised))
    assert all(index.producer[name].op_type != "DequantizeLinear" for name in quantised if name != "x")
    before = Index.of(pictures[0].graph)
    for node in pictures[0].graph.node:  # ternary layers have what they had: weights, steps, zero points
        if node.op_type == "DequantizeLinear":
            now = index.producer[node.output[0]]
            for was, name in zip(node.input[1:], now.input[1:], strict=True):
                np.testing.assert_array_equal(before.value(was), index.value(name))


def test_the_compiled_engine_takes_it_whole(pictures: Any, tmp_path: Path) -> None:
    model, _ = pressed(*pictures)
    kernels, native = compiled(model, tmp_path)
    inputs = feeds(model, 2, seed=3)
    step = output_step(model)
    found = np.stack([native.run(feed)["output"] for feed in inputs])
    assert float(np.abs(found - run(model, inputs)).max()) < 1.01 * step
    assert all(layer.integer for layer in kernels.layers if layer.macs)


def test_ternary_layers_before_a_float_one_keep_every_bit() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    model, kept = exported(layers, Ternary(), PICTURE, skip_first=False)
    done, facts = pressed(model, kept)
    inputs = feeds(model, 6, seed=2)
    assert list(facts["precisions"]["int8"]) == ["4/Conv"]
    np.testing.assert_array_equal(run(model, inputs, tensor="2/Conv"), run(done, inputs, tensor="2/Conv"))


def test_rows_scaled_as_they_come_stay_and_so_do_products_of_activations(attending: Any) -> None:
    model, kept = attending
    done, facts = pressed(model, kept)
    assert facts["precisions"]["ternary"] == {"middle/MatMulInteger": ""}
    assert facts["precisions"]["int8"] == {"first/MatMul": "the first layer", "last/MatMul": "the last layer"}
    index = Index.of(done.graph)
    floating = [
        node.name
        for node in done.graph.node
        if node.op_type == "MatMul" and index.producer[node.input[1]].op_type != "DequantizeLinear"
    ]
    assert len(floating) == 2
    inputs = feeds(model, 6, seed=2)
    expected = run(model, inputs)
    for level in LEVELS:
        assert float(np.abs(run(done, inputs, level) - expected).max()) < 0.05 * float(np.abs(expected).max())


def test_signed_and_unsigned_steps_mean_the_same(pictures: Any) -> None:
    signed = retyped(pictures[0], "int8")
    onnx.checker.check_model(signed, full_check=True)
    inputs = feeds(signed, 4)
    np.testing.assert_array_equal(run(signed, inputs), run(pictures[0], inputs))
    back = retyped(signed, "uint8")
    np.testing.assert_array_equal(run(back, inputs), run(pictures[0], inputs))
    assert retyped(pictures[0], "uint8") == pictures[0]


def test_a_network_with_nothing_left_comes_back_as_it_is(pictures: Any) -> None:
    model, _ = pressed(*pictures)
    again = quantise_rest(model, [], Int8Config(), "uint8", silent)
    inputs = feeds(model, 4)
    np.testing.assert_array_equal(run(again.graph, inputs), run(model, inputs))
    assert again.facts["integer_nodes"] == 0


def test_layers_named_stay_in_float_and_the_type_is_checked(pictures: Any) -> None:
    model, kept = pictures
    config = Int8Config(float_nodes=("each/*", "head/*"))
    facts = quantise_rest(model, feeds(model, 4), config, "uint8", silent, kept).facts
    assert list(facts["precisions"]["float"]) == ["each/Conv", "head/Gemm"]
    with pytest.raises(UsageError, match="uint8 or int8"):
        quantise_rest(model, [], Int8Config(), "float32", silent)


def test_the_bytes_repeat(pictures: Any) -> None:
    first, second = (pressed(*pictures)[0].SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), activations=st.sampled_from(["uint8", "int8"]))
def test_a_graph_on_integers_keeps_its_numbers_in_either_type(seed: int, activations: str) -> None:
    model = random_graph(seed)
    rng = np.random.default_rng(seed)
    shapes = {
        item.name: tuple(d.dim_value for d in item.type.tensor_type.shape.dim) for item in model.graph.input
    }
    inputs = [
        {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(3)
    ]
    try:
        once = press(model, inputs, Int8Config(rounding="nearest"), "uint8", silent).graph
    except SourceError:
        return
    again = quantise_rest(once, inputs, Int8Config(), activations, silent)
    assert again.facts["integer_nodes"] == 0
    tensor = once.graph.output[0].name
    np.testing.assert_array_equal(run(again.graph, inputs, tensor=tensor), run(once, inputs, tensor=tensor))
