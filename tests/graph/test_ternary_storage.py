"""Two bits a weight in standard operators: the same codes, the same results, on every level of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper

from edgepress.graph.index import Index
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.ternary_storage import code_table, pack_codes, pack_ternary, unpack_ternary
from edgepress.graph.tidy import tidy
from edgepress.graph.weights import externalise
from edgepress.targets.compilers.tvm.prepare import prepare
from tests.graph.graphs import build, ops, results

RNG = np.random.default_rng(5)


def codes(*shape: int) -> np.ndarray:
    return RNG.integers(-1, 2, shape).astype(np.int8)


def network(inputs: int = 33) -> onnx.ModelProto:
    """A convolution of static activations and a product of rows, both ternary, and a tensor that is not."""
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make("DequantizeLinear", ["w", "step", "zeros"], ["v"], axis=0),
        make("Conv", ["d", "v"], ["c"], pads=[1, 1, 1, 1]),
        make("QuantizeLinear", ["c", "s", "z"], ["p"]),
        make("MatMulInteger", ["p", "u", "z"], ["m"]),
        make("Cast", ["m"], ["n"], to=TensorProto.FLOAT),
        make("DequantizeLinear", ["wide", "s"], ["k"]),
        make("Add", ["n", "k"], ["y"]),
    ]
    constants: dict[str, np.ndarray] = {
        "s": np.array(0.05, np.float32), "z": np.array(128, np.uint8), "w": codes(32, 9, 3, 3),
        "step": RNG.uniform(0.1, 1, 32).astype(np.float32), "zeros": np.zeros(32, np.int8), "u": codes(inputs, 67),
        "wide": RNG.integers(-5, 5, (32, 1, 67)).astype(np.int8),
    }  # fmt: skip
    return build(nodes, constants, (1, 9, 5, inputs))


@given(hnp.arrays(np.int8, hnp.array_shapes(max_dims=4, max_side=9), elements=st.integers(-1, 1)))
@settings(deadline=None, max_examples=50)
def test_codes_come_back(values: np.ndarray) -> None:
    packed = pack_codes(values)
    assert packed.dtype == np.uint8 and packed.size == -(-values.size // 4)
    fields = [(int(byte) >> (2 * place)) & 3 for byte in packed for place in range(4)]
    assert fields[: values.size] == (values.reshape(-1) + 1).tolist()
    np.testing.assert_array_equal(code_table()[packed].reshape(-1)[: values.size], values.reshape(-1))


@pytest.mark.parametrize("level", ort.GraphOptimizationLevel.__members__.values())
def test_the_results_are_the_plain_graphs(level: Any) -> None:
    model = network()
    packed = pack_ternary(model, 1024)
    onnx.checker.check_model(infer_shapes(packed), full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    feed = {"x": RNG.standard_normal((1, 9, 5, 33)).astype(np.float32)}
    both = [
        ort.InferenceSession(each.SerializeToString(), options).run(None, feed)[0] for each in (model, packed)
    ]
    np.testing.assert_array_equal(*both)


def test_folding_leaves_the_integer_operators_of_the_plain_graph(tmp_path: Path) -> None:
    found = []
    for model in (network(), pack_ternary(network(), 1024)):
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / "o.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(model.SerializeToString(), options)
        found.append(ops(onnx.load(tmp_path / "o.onnx")))
    assert found[0] == found[1] and "QLinearConv" in found[1] and "Gather" not in found[1]


def test_two_bits_a_weight_and_the_rest_stays() -> None:
    index = Index.of(pack_ternary(network(), 1024).graph)
    sizes = {name: tensor.nbytes for name in index.constants if (tensor := index.value(name)) is not None}
    assert sizes["w.packed"] == 32 * 81 // 4 and sizes["u.packed"] == -(-33 * 67 // 4)
    assert "w" not in sizes and "u" not in sizes and sizes["wide"] == 32 * 67
    plain = build([helper.make_node("Relu", ["x"], ["y"])], {}, (3,))
    assert pack_ternary(plain) == plain
    model = network()
    assert pack_ternary(model, 10**6) == model


def test_names_in_use_are_left_alone() -> None:
    packed = pack_ternary(network(), 1024)
    assert pack_ternary(packed, 1024) == packed
    model = network()
    for node in model.graph.node:
        for fields in (node.input, node.output):
            for place, name in enumerate(fields):
                fields[place] = "w.packed" if name == "c" else name
    index = Index.of(pack_ternary(model, 1024).graph)
    assert "w" in index.constants and "u.packed" in index.constants


def test_it_is_unpacked_again_and_for_the_compiler() -> None:
    model = network()
    packed = pack_ternary(model, 1024)
    for back in (unpack_ternary(packed), tidy(packed), prepare(packed)):
        index = Index.of(back.graph)
        for name in ("w", "u"):
            np.testing.assert_array_equal(index.value(name), Index.of(model.graph).value(name))
        assert "Gather" not in ops(back)
    assert unpack_ternary(model) is model


def test_other_look_ups_stay() -> None:
    """A table of other codes, a cut from another place, a size that does not fit: no codes of ours."""
    for name, value in (("ternary.table", code_table() + 1), ("ternary.first", np.array([1], np.int64))):
        packed = pack_ternary(network(), 1024)
        for tensor in packed.graph.initializer:
            if tensor.name == name:
                tensor.raw_data = value.tobytes()
        expected = results(packed) if name == "ternary.table" else None
        back = unpack_ternary(packed)
        assert "u" not in Index.of(back.graph).constants
        if expected is not None:
            np.testing.assert_array_equal(results(back), expected)


def test_weights_in_a_pool_load_the_same(tmp_path: Path) -> None:
    model = network(64)
    slim, pool, tensors = externalise({"a": pack_ternary(model, 1024), "b": pack_ternary(model, 1024)})
    assert len(tensors) == 2 * len({tensor.offset for tensor in tensors})
    assert len(pool) < 64 * 67 + 32 * 67
    (tmp_path / "weights.bin").write_bytes(pool)
    onnx.save(slim["a"], tmp_path / "a.onnx")
    feed = {"x": RNG.standard_normal((1, 9, 5, 64)).astype(np.float32)}
    expected = ort.InferenceSession(model.SerializeToString()).run(None, feed)[0]
    np.testing.assert_array_equal(ort.InferenceSession(str(tmp_path / "a.onnx")).run(None, feed)[0], expected)


def test_other_reshapes_stay() -> None:
    """A shape in an attribute, as before opset 5, and shapes that are no list of extents."""
    old = build([helper.make_node("Reshape", ["x"], ["y"], shape=[4, 2])], {}, (2, 4), opset=4)
    assert unpack_ternary(old) is old
    for shape in (np.array(4), np.array([-1]), np.array([2**62, 4]), np.array([0, 4])):
        nodes = [
            helper.make_node("Cast", ["p"], ["i"], to=TensorProto.INT32),
            helper.make_node("Gather", ["t", "i"], ["f"]),
            helper.make_node("Reshape", ["f", "s"], ["w"]),
            helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT),
        ]
        constants = {"p": pack_codes(codes(4)), "t": code_table(), "s": shape.astype(np.int64)}
        model = build(nodes, constants)
        assert unpack_ternary(model) is model
