"""Dense layers of dynamic rows in a graph, as edgepress exports them, and what NumPy says that they give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
Part = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]

LEAST = 1e-5  # what a row's largest magnitude is taken as at least


def dynamic_nodes(
    x: str, y: str, weight: Array, step: Array, bias: Array | None, name: str = "", levels: float = 128.0,
    divided: bool = False,
) -> Part:  # fmt: skip
    """Codes of rows by their own scale, MatMulInteger, one factor a row and output, the bias.

    With ``divided`` the scale is the levels over the largest magnitude, in place of times its reciprocal.
    """
    numbers: dict[str, Any] = {
        "axes": np.array([-1], np.int64), "least": np.float32(LEAST), "levels": np.float32(levels),
        "low": np.float32(-128), "high": np.float32(127), "middle": np.float32(128), "zero": np.uint8(128),
        "weight": weight, "step": step,
    }  # fmt: skip
    chain = [
        ("Abs", [x], "size"), ("ReduceMax", ["size", "axes"], "most"), ("Clip", ["most", "least"], "held"),
        ("Reciprocal", ["held"], "turned"), ("Mul", ["turned", "levels"], "scale"), ("Mul", [x, "scale"], "steps"),
        ("Round", ["steps"], "whole"), ("Clip", ["whole", "low", "high"], "inside"),
        ("Add", ["inside", "middle"], "moved"), ("Cast", ["moved"], "codes"),
        ("MatMulInteger", ["codes", "weight", "zero"], "sums"), ("Cast", ["sums"], "real"),
        ("Div", ["step", "scale"], "share"), ("Mul", ["real", "share"], "scaled" if bias is not None else y),
    ]  # fmt: skip
    if divided:
        chain[3:5] = [("Div", ["levels", "held"], "scale")]
    if bias is not None:
        numbers["bias"] = bias
        chain.append(("Add", ["scaled", "bias"], y))

    def own(value: str) -> str:
        return value if value in (x, y) else f"{name}{value}"

    kinds = {"codes": TensorProto.UINT8, "real": TensorProto.FLOAT}
    nodes = []
    for op, inputs, output in chain:
        attrs: dict[str, Any] = {"to": kinds[output]} if op == "Cast" else {}
        attrs |= {"keepdims": 1} if op == "ReduceMax" else {}
        nodes.append(helper.make_node(op, [own(i) for i in inputs], [own(output)], own(output), **attrs))
    return nodes, [numpy_helper.from_array(np.asarray(value), own(key)) for key, value in numbers.items()]


@dataclass(frozen=True)
class Dense:
    """One layer: ``rows`` are the axes before the last one, ``lowest`` and ``highest`` bound the weights.

    ``extreme`` takes activations and weights from the ends of their ranges only.
    """

    rows: tuple[int, ...]
    inputs: int
    outputs: int
    levels: float = 128.0
    bias: bool = False
    relu: bool = False
    one_step: bool = False
    extreme: bool = False
    divided: bool = False
    lowest: int = -1
    highest: int = 1


class Layer:
    """The constants of one layer and its input, seeded by its place."""

    def __init__(self, case: Dense, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.case, self.name = case, f"d{seed}"
        shape = (case.inputs, case.outputs)
        self.weight: Array = rng.integers(case.lowest, case.highest + 1, shape).astype(np.int8)
        self.x: Array = rng.standard_normal((*case.rows, case.inputs)).astype(np.float32)
        if case.extreme:
            self.weight = np.repeat(
                rng.choice([case.lowest, case.highest], (1, case.outputs)), case.inputs, 0
            )
            self.weight = self.weight.astype(np.int8)
            self.x = np.repeat(rng.choice([-1.0, 1.0], (*case.rows, 1)), case.inputs, -1).astype(np.float32)
        else:
            self.x.reshape(-1, case.inputs)[0] *= 1e-7  # a row below the least magnitude
        count = 1 if case.one_step else case.outputs
        self.step: Array = rng.uniform(0.001, 0.02, count).astype(np.float32)
        self.bias: Array | None = rng.standard_normal(case.outputs).astype(np.float32) if case.bias else None

    def part(self) -> Part:
        """Nodes and constants from ``{name}x`` to ``{name}y``."""
        last = f"{self.name}linear" if self.case.relu else f"{self.name}y"
        nodes, constants = dynamic_nodes(
            f"{self.name}x", last, self.weight, self.step, self.bias, self.name, self.case.levels,
            self.case.divided,
        )  # fmt: skip
        if self.case.relu:
            nodes.append(helper.make_node("Relu", [last], [f"{self.name}y"]))
        return nodes, constants

    def codes(self) -> tuple[Array, Array]:
        """Each row's codes, and its scale."""
        held = np.maximum(np.abs(self.x).max(-1, keepdims=True), np.float32(LEAST))
        levels = np.float32(self.case.levels)
        scale = levels / held if self.case.divided else (np.float32(1) / held) * levels
        return np.clip(np.rint(self.x * scale), -128, 127).astype(np.int32), scale

    def expected(self) -> Array:
        """The output; exactly that of ONNX's formula where there is no bias, which code may add in one step."""
        codes, scale = self.codes()
        y = (codes @ self.weight.astype(np.int32)).astype(np.float32) * (self.step / scale)
        y = y if self.bias is None else y + self.bias
        return np.maximum(y, np.float32(0)) if self.case.relu else y


def together(layers: Sequence[Layer]) -> onnx.ModelProto:
    """Layers beside one another in one graph."""
    parts = [layer.part() for layer in layers]

    def ends(letter: str) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(
                f"{layer.name}{letter}", TensorProto.FLOAT,
                (*layer.case.rows, layer.case.inputs if letter == "x" else layer.case.outputs),
            )
            for layer in layers
        ]  # fmt: skip

    graph = helper.make_graph(
        [node for nodes, _ in parts for node in nodes], "dynamic", ends("x"), ends("y"),
        [constant for _, constants in parts for constant in constants],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
