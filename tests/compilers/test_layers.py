"""What a compilation says of its layers: nodes by their ONNX names, kernels, work, tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepress.bundle.layers import KernelLayer
from edgepress.targets import load_target
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.tensor import TensorSpec
from tests.bundles import model
from tests.compilers.running import compiled, random_inputs, reference, worst

X = TensorSpec("x", (1, 24, 12, 12))


def network() -> onnx.ModelProto:
    """Convolutions of three kinds, a residual, pooling, a matrix product and a softmax."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (40, 24, 1, 1), "w2": (40, 1, 3, 3), "w3": (24, 40, 3, 3), "w4": (24, 10)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) * 0.1 for name, shape in shapes.items()}
    constants |= {"low": np.float32(0), "high": np.float32(6)}  # type: ignore[dict-item]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], "expand"),
        helper.make_node("Clip", ["a", "low", "high"], ["b"], "six"),
        helper.make_node("Conv", ["b", "w2"], ["c"], "filter", group=40, pads=[1] * 4),
        helper.make_node("Conv", ["c", "w3"], ["d"], "project", pads=[1] * 4),
        helper.make_node("Add", ["d", "x"], ["e"], "residual"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], "mean"),
        helper.make_node("Flatten", ["f"], ["g"], "flat"),
        helper.make_node("MatMul", ["g", "w4"], ["h"]),  # no name
        helper.make_node("Softmax", ["h"], ["y"], "shares of\nall", axis=1),
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return model(nodes, [X], [TensorSpec("y", (1, 10))], stored)


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KernelLayer]:
    made = compile_graph(network(), load_target("x86-64-v3"), tmp_path_factory.mktemp("layers"))
    assert len({layer.name for layer in made.layers}) == len(made.layers)
    assert made.macs == sum(layer.macs for layer in made.layers)
    return {layer.name: layer for layer in made.layers}


def test_layers_are_named_after_onnx_nodes(layers: dict[str, KernelLayer]) -> None:
    assert {"expand", "filter", "project", "mean", "h", "shares of all"} <= set(layers)
    for name in layers:
        assert name.partition(":")[0] in {"expand", "filter", "project", "mean", "h", "shares of all", "x"}


def test_a_layer_lists_every_node_that_is_computed_in_it(layers: dict[str, KernelLayer]) -> None:
    assert layers["expand"].nodes == ("expand", "six")
    assert layers["project"].nodes == ("project", "residual")
    assert layers["filter"].op == "DepthwiseConv" and layers["h"].op == "MatMul"


def test_the_work_of_a_layer(layers: dict[str, KernelLayer]) -> None:
    expand = layers["expand"]
    assert (expand.kernel, expand.tile, expand.tuned) == ("tile", "6x16", False)
    assert expand.shape == "float32 144x40 of 24"
    assert (expand.macs, expand.operations) == (144 * 40 * 24, 2 * 144 * 40 * 24)
    assert expand.activation_bytes == 4 * 144 * (24 + 40)
    assert expand.weight_bytes >= 4 * 24 * 40
    assert (layers["filter"].kernel, layers["filter"].macs) == ("depthwise", 144 * 40 * 9)
    assert not any(layer.integer for layer in layers.values())
    assert all(layer.operations for layer in layers.values())


def test_nodes_behind_one_with_several_outputs_are_found(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x", "halves"], ["a", "b"], "cut", axis=1),
        helper.make_node("Softmax", ["a"], ["c"], "shares", axis=1),
        helper.make_node("Sigmoid", ["b"], ["d"], "gate"),
        helper.make_node("Mul", ["c", "d"], ["y"], "gated"),
        helper.make_node("Exp", ["d"], ["z"], "exp"),
    ]
    stored = [numpy_helper.from_array(np.array([16, 16]), "halves")]
    outputs = [TensorSpec("y", (4, 16)), TensorSpec("z", (4, 16))]
    made = compile_graph(
        model(nodes, [TensorSpec("x", (4, 32))], outputs, stored), load_target("x86-64-v3"), tmp_path
    )
    assert {layer.name for layer in made.layers} >= {"cut", "shares", "gate", "exp"}
    assert {layer.nodes for layer in made.layers} == {("cut",), ("shares", "gated"), ("gate",), ("exp",)}


def test_loops_of_tvms_own_are_called_so(tmp_path: Path) -> None:
    nodes = [helper.make_node("ScatterND", ["x", "i", "u"], ["y"], "put")]
    stored = [
        numpy_helper.from_array(np.array([[1], [3]]), "i"),
        numpy_helper.from_array(np.zeros((2, 4), np.float32), "u"),
    ]
    shape = TensorSpec("x", (5, 4))
    graph = model(nodes, [shape], [TensorSpec("y", (5, 4))], stored)
    made = compile_graph(graph, load_target("x86-64-v3"), tmp_path)
    assert {layer.kernel for layer in made.layers if layer.name == "put"} == {"TVM"}


def test_a_measured_tile_takes_the_rules_place_and_changes_no_result(tmp_path: Path) -> None:
    for folder in ("rule", "tuned"):
        (tmp_path / folder).mkdir()
    graph = network()
    kernels, native = compiled(graph, tmp_path / "rule")
    layer = next(layer for layer in kernels.layers if layer.name == "expand")
    tiles = {f"{layer.shape} by {layer.tile}": 3, "float32 1x1 of 1 by 9x9": 2}
    made = compile_graph(graph, load_target("host"), tmp_path / "tuned", tuned=tiles)
    changed = {layer.name: layer.tile for layer in made.layers if layer.tuned}
    assert changed == {"expand": f"3x{layer.tile.partition('x')[2]}"}
    inputs = random_inputs(kernels.inputs)
    assert worst(native.run(inputs), reference(graph, inputs)) < 1e-4
