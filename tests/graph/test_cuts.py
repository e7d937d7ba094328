"""Places to cut: one tensor joins the halves, no fork is cut open, no layer parted from what is fused with it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgepress.errors import SourceError
from edgepress.graph.cuts import find_cuts
from edgepress.graph.dequantise import dequantise, is_quantised
from edgepress.graph.fusing import fused
from edgepress.graph.tidy import tidy
from tests.cutting.networks import diamond
from tests.graph.graphs import build, results


def test_a_diamond_is_not_cut_inside() -> None:
    found = find_cuts(diamond())
    assert [cut.tensor for cut in found] == ["r0", "joined", "silu", "flat"]
    assert [cut.shape for cut in found] == [(1, 8, 16, 16), (1, 8, 16, 16), (1, 16, 8, 8), (1, 16)]
    assert [cut.elements for cut in found] == [2048, 2048, 1024, 16]


def test_a_cut_parts_the_nodes_in_two() -> None:
    model = diamond()
    for cut in find_cuts(model):
        before, after = model.graph.node[: cut.position], model.graph.node[cut.position :]
        made = {name for node in before for name in node.output}
        read = {name for node in after for name in node.input}
        assert made & read == {cut.tensor}


def test_halves_give_what_the_whole_gives() -> None:
    model = diamond()
    (whole,) = results(model)
    for cut in find_cuts(model):
        extractor = onnx.utils.Extractor(model)
        first = extractor.extract_model(["x"], [cut.tensor])
        second = extractor.extract_model([cut.tensor], ["y"])
        given_ = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
        (between,) = ort.InferenceSession(first.SerializeToString()).run(None, {"x": given_})
        (scores,) = ort.InferenceSession(second.SerializeToString()).run(None, {cut.tensor: between})
        np.testing.assert_allclose(scores, whole, rtol=1e-3, atol=1e-5)


def test_an_early_output_and_a_second_input_forbid_cuts_beside_them() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "a"),
        helper.make_node("Conv", ["a", "v"], ["b"], "b"),
        helper.make_node("Conv", ["b", "v"], ["y"], "y"),
    ]
    weights = {"w": np.ones((4, 3, 1, 1), np.float32), "v": np.ones((4, 4, 1, 1), np.float32)}
    assert [cut.tensor for cut in find_cuts(tidy(build(nodes, weights)))] == ["a", "b"]
    assert find_cuts(tidy(build(nodes, weights, outputs=("a", "y")))) == []
    skip = [*nodes[:2], helper.make_node("Add", ["b", "x4"], ["s"], "s"), nodes[2]]
    skip.insert(0, helper.make_node("Conv", ["x", "w"], ["x4"], "x4"))
    skip[-1] = helper.make_node("Conv", ["s", "v"], ["y"], "y")
    assert [cut.tensor for cut in find_cuts(tidy(build(skip, weights)))] == ["s"]


def test_a_pad_belongs_to_the_layer_behind_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "a"),
        helper.make_node("Pad", ["a", "pads"], ["p"], "p"),
        helper.make_node("Conv", ["p", "v"], ["y"], "y"),
    ]
    constants = {
        "w": np.ones((4, 3, 1, 1), np.float32), "v": np.ones((4, 4, 3, 3), np.float32),
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    }  # fmt: skip
    assert [cut.tensor for cut in find_cuts(tidy(build(nodes, constants)))] == ["a"]


def test_what_is_fused() -> None:
    model = diamond()
    names = {model.graph.node[position].name for position in fused(model)}
    assert names == {
        "stem_clip",
        "joined_relu",
    }  # the gate's convolution is read twice, the sum has two roads


@settings(deadline=None, max_examples=40)
@given(forks=st.lists(st.booleans(), min_size=1, max_size=8))
def test_each_residual_block_is_one_step(forks: list[bool]) -> None:
    """A chain of layers, some with a skip: the cuts are the ends of its links, whatever they are."""
    nodes, name = [helper.make_node("Conv", ["x", "w"], ["t"], "first")], "t"
    ends = ["t"]
    for number, fork in enumerate(forks):
        nodes.append(helper.make_node("Conv", [name, "v"], [f"a{number}"], f"a{number}"))
        if fork:
            nodes.append(helper.make_node("Conv", [f"a{number}", "v"], [f"b{number}"], f"b{number}"))
            nodes.append(helper.make_node("Add", [f"b{number}", name], [f"s{number}"], f"s{number}"))
        name = f"{'s' if fork else 'a'}{number}"
        ends.append(name)
    nodes.append(helper.make_node("Conv", [name, "v"], ["y"], "last"))
    weights = {"w": np.ones((4, 3, 1, 1), np.float32), "v": np.ones((4, 4, 1, 1), np.float32)}
    assert [cut.tensor for cut in find_cuts(tidy(build(nodes, weights)))] == ends


def test_a_quantised_graph_in_float_gives_nearly_the_same() -> None:
    generator = np.random.default_rng(0)
    float_weight = generator.uniform(-1, 1, (4, 3, 3, 3)).astype(np.float32)
    scale = (np.abs(float_weight).max((1, 2, 3)) / 127).astype(np.float32)
    integers = np.rint(float_weight / scale[:, None, None, None]).astype(np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "sx", "zx"], ["dx"]),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"], axis=0),
        helper.make_node("Conv", ["dx", "dw"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "sy", "zx"], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "sy", "zx"], ["y"]),
    ]
    constants = {
        "sx": np.float32(0.04), "zx": np.int8(0), "w": integers, "sw": scale, "zw": np.zeros(4, np.int8),
        "sy": np.float32(0.2),
    }  # fmt: skip
    quantised = tidy(build(nodes, {name: np.asarray(value) for name, value in constants.items()}))
    plain = dequantise(quantised)
    assert is_quantised(quantised) and not is_quantised(plain)
    assert {node.op_type for node in plain.graph.node} <= {"Conv", "Clip", "Identity"}
    (a,), (b,) = results(quantised), results(plain)
    assert 0.0 < float(np.abs(a - b).max()) < 1.0


def test_saturation_stays_when_a_quantised_graph_becomes_a_float_one() -> None:
    """Integers from 0 to 255 in steps of 0.01 are all that there is of a ReLU up to 2.55."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    constants: dict[str, np.ndarray] = {
        "w": weight,
        "s": np.asarray(0.01, np.float32),
        "z": np.asarray(0, np.uint8),
    }
    quantised = tidy(build(nodes, constants))
    (a,), (b,) = results(quantised), results(dequantise(quantised))
    assert (a.min(), a.max()) == (b.min(), b.max()) and 0 < float(np.abs(a - b).max()) < 0.006


def test_a_graph_on_integers_alone_has_no_float_form() -> None:
    node = helper.make_node("ConvInteger", ["x", "w"], ["y"], "integers")
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, (1, 1, 4, 4))],
        [helper.make_tensor_value_info("y", onnx.TensorProto.INT32, None)],
        [onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), np.uint8), "w")],
    )  # fmt: skip
    with pytest.raises(SourceError, match="ConvInteger"):
        dequantise(helper.make_model(graph))
