"""Transposed weights of integers: the same results, and the weight right behind its DequantizeLinear."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgepress.graph.turned_weights import turn_weights
from tests.graph.graphs import build, ops, results

RNG = np.random.default_rng(3)


def product(axis: int | None, scales: int, *, twice: bool = False, opset: int = 18) -> onnx.ModelProto:
    """x · transpose(dequantised [5, 7]), with so many scales along an axis."""
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"], **attributes),
        helper.make_node("Transpose", ["v"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
        *([helper.make_node("ReduceSum", ["v"], ["u"], keepdims=0)] if twice else []),
    ]
    shape = () if axis is None else (scales,)
    constants: dict[str, np.ndarray] = {
        "w": RNG.integers(-1, 2, (5, 7)).astype(np.int8),
        "s": RNG.uniform(0.1, 1, shape).astype(np.float32),
        "z": RNG.integers(-3, 4, shape).astype(np.int8),
    }
    return build(nodes, constants, (2, 3, 7), ("y", "u") if twice else ("y",), opset)


@pytest.mark.parametrize(("axis", "scales"), [(None, 1), (0, 5), (1, 7), (-2, 5), (-1, 7)])
def test_the_results_stay_and_the_transpose_goes(axis: int | None, scales: int) -> None:
    model = product(axis, scales)
    before = model.SerializeToString()
    turned = turn_weights(model)
    assert ops(turned) == ["DequantizeLinear", "MatMul"] and model.SerializeToString() == before
    for given, expected in zip(results(turned), results(model), strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-6)


def test_weights_that_others_read_stay() -> None:
    model = product(0, 5, twice=True)
    assert turn_weights(model) is model


def test_graphs_of_before_axes_run_on() -> None:
    """Opset 10 knows one step a tensor, and no attribute for it."""
    model = product(None, 1, opset=10)
    turned = turn_weights(model)
    assert ops(turned) == ["DequantizeLinear", "MatMul"]
    np.testing.assert_allclose(results(turned)[0], results(model)[0], rtol=1e-6, atol=1e-6)


def test_what_else_a_node_says_stays() -> None:
    model = product(0, 5)
    model.graph.node[0].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    turned = turn_weights(model)
    assert ops(turned) == ["DequantizeLinear", "MatMul"] and turned.graph.node[0].domain == "com.microsoft"
    np.testing.assert_allclose(results(turned)[0], results(model)[0], rtol=1e-6, atol=1e-6)
