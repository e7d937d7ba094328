"""Activations before QuantizeLinear go only where saturation stands in for them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from edgepress.graph.saturation import drop_saturated
from tests.graph.graphs import build, ops, results


def quantised(limits: tuple[float, float] | None, scale: float, zero: int, kind: type) -> onnx.ModelProto:
    """4 · x, an activation (a Relu without limits), and back and forth through integers."""
    activation = (
        helper.make_node("Clip", ["s", "low", "high"], ["a"])
        if limits
        else helper.make_node("Relu", ["s"], ["a"])
    )
    nodes = [
        helper.make_node("Mul", ["x", "four"], ["s"]),
        activation,
        helper.make_node("QuantizeLinear", ["a", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    low, high = limits or (0.0, 0.0)
    constants = {
        "four": np.array(4, np.float32),        "low": np.array(low, np.float32), "high": np.array(high, np.float32),
        "scale": np.array(scale, np.float32), "zero": np.array(zero, kind),
    }  # fmt: skip
    return build(nodes, constants, (64,))


@given(
    limits=st.none() | st.tuples(st.floats(-6, 0, width=32), st.floats(0, 8, width=32)),
    scale=st.floats(0.0078125, 0.125, width=32),
    zero=st.integers(0, 255),
    signed=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_it_changes_no_result(
    limits: tuple[float, float] | None, scale: float, zero: int, signed: bool
) -> None:
    model = quantised(limits, scale, zero - 128 if signed else zero, np.int8 if signed else np.uint8)
    np.testing.assert_array_equal(results(drop_saturated(model)), results(model))


@pytest.mark.parametrize(
    ("limits", "zero", "gone"),
    [
        (None, 0, True),
        (None, 1, False),
        ((0.0, 6.0), 0, True),
        ((0.0, 4.0), 0, False),
        ((-1.0, 6.0), 0, True),
    ],
)
def test_it_removes_what_saturation_does(limits: tuple[float, float] | None, zero: int, gone: bool) -> None:
    found = ops(drop_saturated(quantised(limits, 6 / 255, zero, np.uint8)))
    assert ("Relu" not in found and "Clip" not in found) == gone


def test_limits_that_are_attributes_stay() -> None:
    """Before opset 11 Clip has them so."""
    model = quantised((0.0, 6.0), 6 / 255, 0, np.uint8)
    clip = next(node for node in model.graph.node if node.op_type == "Clip")
    del clip.input[1:]
    clip.attribute.extend([helper.make_attribute("min", 1.0), helper.make_attribute("max", 2.0)])
    assert "Clip" in ops(drop_saturated(model))
