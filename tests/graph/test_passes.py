"""Each pass keeps the network's outputs, does what it says, and leaves what it was given alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgepress.errors import SourceError
from edgepress.graph.batch_norm import fold_batch_norm
from edgepress.graph.constants import fold_constants
from edgepress.graph.dead_ends import remove_dead_ends
from edgepress.graph.identities import remove_identities
from edgepress.graph.limits import lower_ir_opset, opset_of
from edgepress.graph.metadata import strip_metadata
from edgepress.graph.names import rename
from edgepress.graph.order import sort_nodes
from edgepress.graph.pooling import use_global_pooling
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.tidy import tidy
from tests.compilers.graphs import random_graph
from tests.graph.graphs import build, ops, results

RNG = np.random.default_rng(7)
node = helper.make_node


def noise(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def normed(op: str, **attributes: Any) -> onnx.ModelProto:
    x: tuple[int, ...] = (1, 3, 8, 8)
    if op == "Gemm":
        weight = noise(6, 5) if attributes.get("transB") else noise(5, 6)
        first, x = node("Gemm", ["x", "w", "b"], ["c"], **attributes), (4, 5)
    else:
        grouped = attributes.get("group", 1)
        weight = noise(3, 6, 3, 3) if op == "ConvTranspose" else noise(6, 3 // grouped, 3, 3)
        first = node(op, ["x", "w", "b"], ["c"], **attributes)
    constants = {"w": weight, "b": noise(6), "g": noise(6), "s": noise(6), "m": noise(6)}
    constants["v"] = np.abs(noise(6)) + np.float32(0.1)
    second = node("BatchNormalization", ["c", "g", "s", "m", "v"], ["y"], epsilon=1e-3)
    return build([first, second], constants, x)


@pytest.mark.parametrize(
    "model",
    [
        normed("Conv"),
        normed("Conv", group=3),
        normed("ConvTranspose"),
        normed("Gemm"),
        normed("Gemm", transB=1),
    ],
    ids=["conv", "depthwise", "transposed", "gemm", "gemm-b"],
)
def test_batch_norm_folds(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    folded = fold_batch_norm(infer_shapes(model))
    assert len(folded.graph.node) == 1
    for ours, theirs in zip(results(folded), results(model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    assert model.SerializeToString() == before


def test_batch_norm_stays_where_the_convolution_is_read_elsewhere() -> None:
    model = normed("Conv")
    model.graph.node.append(node("Relu", ["c"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, None))
    assert "BatchNormalization" in ops(fold_batch_norm(infer_shapes(model)))


def test_constants_are_computed_and_shapes_known() -> None:
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"]),
        node("Concat", ["n", "minus"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["flat"]),
        node("Constant", [], ["two"], value_float=2.0),
        node("Mul", ["flat", "two"], ["y"]),
    ]
    model = build(nodes, {"zero": np.array([0]), "minus": np.array([-1])})
    folded = fold_constants(infer_shapes(model))
    assert ops(folded) == ["Reshape", "Mul"]
    np.testing.assert_array_equal(results(folded)[0], results(model)[0])


def test_what_stays_when_constants_are_folded() -> None:
    nodes = [
        node("DequantizeLinear", ["q", "scale"], ["w"]),
        node("ConstantOfShape", ["huge"], ["big"]),
        node("ReduceSum", ["big"], ["sum"], keepdims=0),
        node("Mul", ["x", "w"], ["wx"]),
        node("Add", ["wx", "sum"], ["y"]),
    ]
    constants: dict[str, np.ndarray] = {
        "q": np.ones(8, np.int8),
        "scale": np.array(0.5, np.float32),
        "huge": np.array([1 << 20]),
    }
    model = infer_shapes(build(nodes, constants))
    assert ops(fold_constants(model)) == ["DequantizeLinear", "ConstantOfShape", "ReduceSum", "Mul", "Add"]


def test_a_constant_output_keeps_a_node() -> None:
    nodes = [node("Add", ["a", "a"], ["y"]), node("Relu", ["x"], ["z"])]
    model = build(nodes, {"a": noise(3)}, outputs=("y", "z"))
    folded = fold_constants(infer_shapes(model))
    np.testing.assert_array_equal(results(folded)[0], results(model)[0])
    assert sorted(ops(folded)) == ["Constant", "Relu"]


def test_identities_go_and_names_of_outputs_stay() -> None:
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Dropout", ["a"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=[0, 1, 2, 3]),
        node("Cast", ["d"], ["e"], to=onnx.TensorProto.FLOAT),
        node("Identity", ["e"], ["y"]),
        node("Identity", ["x"], ["z"]),
    ]
    model = infer_shapes(build(nodes, {}, outputs=("y", "z")))
    clean = remove_identities(model)
    assert ops(clean) == ["Relu", "Identity"]
    for ours, theirs in zip(results(clean), results(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_inner_tensor_that_is_an_output_too_is_not_renamed() -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["y"]), node("Exp", ["a"], ["z"])]
    model = infer_shapes(build(nodes, {}, outputs=("a", "y", "z")))
    clean = remove_identities(model)
    assert [item.name for item in clean.graph.output] == ["a", "y", "z"]
    for ours, theirs in zip(results(clean), results(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_dead_ends_go() -> None:
    model = build([node("Relu", ["x"], ["y"]), node("Exp", ["x"], ["gone"])], {"unused": noise(5)})
    clean = remove_dead_ends(model)
    assert ops(clean) == ["Relu"] and not clean.graph.initializer


def test_a_branch_keeps_what_it_captures() -> None:
    then = helper.make_graph(
        [node("Relu", ["a"], ["t"])], "then", [], [helper.make_tensor_value_info("t", 1, None)]
    )
    other = helper.make_graph(
        [node("Exp", ["a"], ["e"])], "else", [], [helper.make_tensor_value_info("e", 1, None)]
    )
    nodes = [
        node("If", ["yes"], ["y"], then_branch=then, else_branch=other),
        node("Neg", ["x"], ["a"]),
        node("Identity", ["yes_"], ["yes"]),
    ]
    model = build(nodes, {"yes_": np.array(True)})
    sorted_model = sort_nodes(model)
    clean = remove_dead_ends(sorted_model)
    assert set(ops(clean)) == {"Neg", "Identity", "If"}
    np.testing.assert_array_equal(results(clean)[0], results(sorted_model)[0])


def test_a_cycle_is_named() -> None:
    model = build(
        [node("Add", ["x", "b"], ["a"], name="one"), node("Relu", ["a"], ["b"])], {}, outputs=("b",)
    )
    with pytest.raises(SourceError, match="'one' waits for a tensor"):
        sort_nodes(model)


def test_shapes_that_contradict() -> None:
    model = build([node("Add", ["x", "w"], ["y"])], {"w": noise(5)})
    with pytest.raises(SourceError, match="contradict"):
        infer_shapes(model)


def test_means_over_the_plane_become_pooling() -> None:
    model = infer_shapes(build([node("ReduceMean", ["x", "axes"], ["y"])], {"axes": np.array([-1, 2])}))
    pooled = use_global_pooling(model)
    assert ops(pooled) == ["GlobalAveragePool"]
    np.testing.assert_allclose(results(pooled)[0], results(model)[0], atol=1e-6)


def test_limits() -> None:
    model = infer_shapes(build([node("ReduceMean", ["x", "axes"], ["y"])], {"axes": np.array([1])}))
    older = lower_ir_opset(model, 7, 15)
    assert (older.ir_version, opset_of(older)) == (7, 15)
    np.testing.assert_allclose(results(older)[0], results(model)[0], atol=1e-6)
    assert lower_ir_opset(model, 10, 21).SerializeToString() == model.SerializeToString()
    with pytest.raises(SourceError, match="opset 9 is older"):
        lower_ir_opset(model, 8, 9)
    gelu = build([node("Gelu", ["x"], ["y"])], {}, opset=20)
    with pytest.raises(SourceError, match="ONNX cannot convert Gelu"):
        lower_ir_opset(gelu, 8, 17)


def test_metadata_goes() -> None:
    model = build([node("Relu", ["x"], ["y"], doc_string="made in /home/someone")], {})
    model.metadata_props.add(key="where", value="/home/someone")
    model.graph.node[0].metadata_props.add(key="stack", value="/home/someone/net.py")
    model.producer_version = "1.2"
    assert b"/home" not in strip_metadata(model).SerializeToString()


def test_names_say_where_and_are_unique() -> None:
    nodes = [
        node("Conv", ["x", "a.0.weight"], ["t1"]),
        node("Relu", ["t1"], ["t2"]),
        node("Relu", ["t2"], ["t3"]),
        node("Add", ["t3", "val_7"], ["y"]),
    ]
    model = infer_shapes(build(nodes, {"a.0.weight": noise(3, 3, 1, 1), "val_7": noise(1)}))
    named = rename(model, {"t2": "a.1", "t3": "a.1"})
    assert [item.name for item in named.graph.node] == ["a.0/Conv", "a.1/Relu", "a.1/Relu_2", "Add"]
    assert named.graph.node[3].input[1] == "constant"
    np.testing.assert_array_equal(results(named)[0], results(model)[0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_tidying_a_random_graph_changes_no_output(seed: int) -> None:
    model = random_graph(seed)
    clean = tidy(model)
    onnx.checker.check_model(clean, full_check=True)
    for ours, theirs in zip(results(clean), results(model), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
    assert tidy(clean).SerializeToString() == clean.SerializeToString()
