"""Ternary layers of dynamic rows as ONNX Runtime's products of two-bit weights: near the exact ones, where they pay."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from edgepress.graph.index import Index, put_constant
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.two_bit_products import BLOCK, two_bit_weights, use_two_bit_products
from edgepress.nn import Ternary
from edgepress.targets import load_target
from edgepress.targets.features import takes_two_bits
from tests.compilers.dynamic_graphs import Dense, Layer, together
from tests.graph.graphs import ops
from tests.methods.ternary_nets import exported

RNG = np.random.default_rng(11)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    name = model.graph.input[0].name
    return np.asarray(ort.InferenceSession(model.SerializeToString(), options).run(None, {name: x})[0])


def layers(inputs: int, rows: int, *, norm: bool = True, bias: bool = True) -> onnx.ModelProto:
    """Two ternary layers of dynamic rows, the second of 130 inputs, and a float one; steps of each output."""
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Linear(inputs, 130, bias=bias),
        nn.ReLU(),
        nn.Linear(130, 128, bias=bias),
        nn.Linear(128, 33, bias=bias),
    )
    return exported(net, Ternary(norm=norm, per_channel=True), (1, rows, inputs), skip_first=False)[0]


def test_codes_lie_as_the_operator_reads_them() -> None:
    codes = RNG.integers(-1, 2, (256, 7)).astype(np.int8)
    packed = two_bit_weights(codes)
    assert packed.shape == (7, 2, 32) and packed.dtype == np.uint8
    fields = (packed[..., None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
    np.testing.assert_array_equal(fields.reshape(7, 256).T.astype(np.int8) - 2, codes)


@pytest.mark.parametrize(("norm", "bias"), [(True, True), (False, False)])
def test_it_comes_within_two_per_cent(norm: bool, bias: bool) -> None:
    model = layers(256, 2, norm=norm, bias=bias)
    assert use_two_bit_products(model, most_rows=1) is model  # more rows are faster as they are
    made = use_two_bit_products(model)
    onnx.checker.check_model(made)
    # Of three layers one has a multiple of 128 inputs; blocks of other sizes are slower.
    assert ops(made).count("MatMulNBits") == 1 and ops(made).count("MatMulInteger") == 1
    assert ops(model).count("MatMulInteger") == 2
    assert "MatMulNBits" not in ops(model)
    x = RNG.standard_normal((1, 2, 256)).astype(np.float32)
    exact, near = run(model, x), run(made, x)
    assert near.shape == exact.shape
    assert 0 < float(np.linalg.norm(near - exact)) < 0.02 * float(np.linalg.norm(exact))
    node = next(node for node in made.graph.node if node.op_type == "MatMulNBits")
    weight = Index.of(made.graph).value(node.input[1])
    assert weight is not None and weight.nbytes == 256 * 130 // 4


def as_many_rows_as_outputs(changed: dict[str, np.ndarray]) -> tuple[onnx.ModelProto, np.ndarray]:
    """A layer of two rows and two outputs with some of its constants put in place of its own, and an input."""
    layer = Layer(Dense((2,), BLOCK, 2, bias=True), 0)
    model = together([layer])
    model.graph.output[0].type.tensor_type.ClearField("shape")
    for name, value in changed.items():
        put_constant(model.graph, layer.name + name, value)
    return infer_shapes(model), RNG.standard_normal((2, BLOCK)).astype(np.float32)


@pytest.mark.parametrize("weight", [-128, -2, 2, 127])
def test_a_layer_with_one_other_weight_stays(weight: int) -> None:
    codes = RNG.integers(-1, 2, (BLOCK, 2), np.int8)
    model, _ = as_many_rows_as_outputs({"weight": codes})
    assert ops(use_two_bit_products(model)).count("MatMulNBits") == 1
    codes[5, 1] = weight
    model, _ = as_many_rows_as_outputs({"weight": codes})
    assert use_two_bit_products(model) is model


@pytest.mark.parametrize("shape", [(2,), (1, 2), (1, 1), (2, 1), (1, 1, 2), (1, 1, 1)])
def test_a_bias_of_each_row_is_added_behind(shape: tuple[int, ...]) -> None:
    bias = np.array([40.0, -30.0], np.float32)[: np.prod(shape)].reshape(shape)
    model, x = as_many_rows_as_outputs({"bias": bias})
    made = use_two_bit_products(model)
    by_output = shape[-1] == bias.size and len(shape) < 3
    assert (
        "bias" in [name.rpartition(".")[2] for node in made.graph.node for name in node.input]
    ) is by_output
    exact, near = run(model, x), run(made, x)
    assert near.shape == exact.shape
    assert 0 < float(np.linalg.norm(near - exact)) < 0.1 * float(np.linalg.norm(exact - bias))


@pytest.mark.parametrize("shape", [(2, 1), (1, 1, 2)])
def test_a_layer_with_a_step_of_each_row_stays(shape: tuple[int, ...]) -> None:
    model, _ = as_many_rows_as_outputs({"step": np.array([0.01, 0.02], np.float32).reshape(shape)})
    assert use_two_bit_products(model) is model


def test_only_runtimes_that_compute_so_in_integers_are_given_them() -> None:
    taken = {
        name: takes_two_bits(load_target(name))
        for name in ("rpi5", "rpi4", "android-arm64", "x86-64-v4", "x86-64-v3", "cortex-m7")
    }
    assert taken == {
        "rpi5": True, "rpi4": False, "android-arm64": False, "x86-64-v4": False, "x86-64-v3": False, "cortex-m7": False,
    }  # fmt: skip
