"""One quantised operator beside another in a graph, and what NumPy says each gives, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Case:
    """A convolution of square windows, or a matrix product where ``space`` is empty.

    ``lowest`` and ``highest`` bound the weights; ``extreme`` takes weights and activations from the ends of
    their ranges only. Zero points are counted from the type's smallest number: behind a Relu that of the
    input is 0.
    """

    inputs: int
    outputs: int
    space: tuple[int, ...]
    window: int = 1
    stride: int = 1
    pad: int = 0
    group: int = 1
    dilation: int = 1
    lowest: int = -127
    highest: int = 127
    zero: int = 3
    low: float | None = None
    zero_in: int = 100
    batch: int = 2
    extreme: bool = False


class Operator:
    """The constants of one case, seeded by its place."""

    def __init__(self, case: Case, dtype: type, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.case, self.name = case, f"c{seed}"
        info = np.iinfo(dtype)
        window = (case.window,) * len(case.space)
        shape = (case.outputs, case.inputs // case.group, *window)
        self.weight: Array = self._drawn(rng, case.lowest, case.highest, shape).astype(np.int8)
        given = (case.batch, case.inputs, *case.space)
        self.input: Array = self._drawn(rng, info.min, info.max, given).astype(dtype)
        self.weight.reshape(-1)[0] = case.lowest
        self.zero_in, self.zero_out = dtype(info.min + case.zero_in), dtype(info.min + case.zero)
        self.scale_in = np.float32(0.02)
        self.scales = rng.uniform(0.001, 0.003, case.outputs).astype(np.float32)
        terms = int(np.prod(shape[1:]))
        self.bias = rng.integers(-2000, 2000, case.outputs).astype(np.int32)
        # About a quarter of the outputs saturate.
        spread = 74 * 74 * case.highest / 127 * (3 if case.extreme else 1)
        self.scale_out = np.float32(0.02 * 0.002 * spread * terms**0.5 / 100)

    def _drawn(self, rng: np.random.Generator, low: int, high: int, shape: tuple[int, ...]) -> Array:
        if self.case.extreme:
            return rng.choice(np.array([low, high]), shape)
        return rng.integers(low, high + 1, shape)

    def nodes(self) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """DequantizeLinear, the operator, QuantizeLinear; the constants."""
        n, case = self.name, self.case
        made = {
            "w": self.weight if case.space else np.ascontiguousarray(self.weight.T), "b": self.bias,
            "si": self.scale_in, "zi": np.array(self.zero_in), "sw": self.scales, "so": self.scale_out,
            "zo": np.array(self.zero_out), "sb": (self.scales * self.scale_in).astype(np.float32),
        }  # fmt: skip
        axis = 0 if case.space else 1
        dims = len(case.space)
        nodes = [
            helper.make_node("DequantizeLinear", [f"{n}x", f"{n}si", f"{n}zi"], [f"{n}xf"]),
            helper.make_node("DequantizeLinear", [f"{n}w", f"{n}sw"], [f"{n}wf"], axis=axis),
            helper.make_node("DequantizeLinear", [f"{n}b", f"{n}sb"], [f"{n}bf"], axis=0),
        ]
        operands = [f"{n}xf", f"{n}wf", f"{n}bf"]
        if case.space:
            nodes.append(
                helper.make_node(
                    "Conv", operands, [f"{n}y"], group=case.group, kernel_shape=[case.window] * dims,
                    strides=[case.stride] * dims, dilations=[case.dilation] * dims,
                    pads=[case.pad] * (2 * dims),
                )
            )  # fmt: skip
        else:
            nodes.append(helper.make_node("Gemm", operands, [f"{n}y"]))
        last = f"{n}y"
        if case.low is not None:
            made["lo"], made["hi"] = np.float32(case.low), np.float32(-case.low)
            nodes.append(helper.make_node("Clip", [last, f"{n}lo", f"{n}hi"], [f"{n}k"]))
            last = f"{n}k"
        nodes.append(helper.make_node("QuantizeLinear", [last, f"{n}so", f"{n}zo"], [f"{n}q"]))
        return nodes, [numpy_helper.from_array(np.asarray(v), n + key) for key, v in made.items()]

    def sums(self) -> Array:
        """The int32 sums, zero points taken away."""
        case = self.case
        x = self.input.astype(np.int64) - int(self.zero_in)
        if not case.space:
            return np.asarray(x @ self.weight.T.astype(np.int64) + self.bias)
        dims = len(case.space)
        x = np.pad(x, [(0, 0), (0, 0), *[(case.pad, case.pad)] * dims])
        reach = (case.window - 1) * case.dilation
        places = [(extent - reach - 1) // case.stride + 1 for extent in x.shape[2:]]
        total = np.zeros((case.batch, case.outputs, *places), np.int64)
        weight = self.weight.astype(np.int64)
        for tap in np.ndindex(*weight.shape[2:]):
            cut = tuple(
                slice(t * case.dilation, t * case.dilation + (p - 1) * case.stride + 1, case.stride)
                for t, p in zip(tap, places, strict=True)
            )
            seen, taps = x[(slice(None), slice(None), *cut)], weight[(slice(None), slice(None), *tap)]
            apart = seen.reshape(case.batch, case.group, -1, *places)
            each = np.einsum("ngi...,goi->ngo...", apart, taps.reshape(case.group, -1, taps.shape[1]))
            total += each.reshape(total.shape)
        return np.asarray(total + self.bias.reshape(1, -1, *[1] * dims))

    def expected(self) -> Array:
        """``saturate(rne(f32(sum) · scale) + zero)``, in single precision as ONNX Runtime orders it."""
        info = np.iinfo(self.input.dtype)
        each = (self.scales * self.scale_in) / self.scale_out
        sums = self.sums().astype(np.int32).astype(np.float32)
        steps = np.rint(sums * each.reshape(1, -1, *[1] * len(self.case.space))) + int(self.zero_out)
        low, high = float(info.min), float(info.max)
        if self.case.low is not None:
            bounds = [np.rint(np.float32(v) / self.scale_out) for v in (self.case.low, -self.case.low)]
            low, high = max(low, bounds[0] + int(self.zero_out)), min(high, bounds[1] + int(self.zero_out))
        return np.asarray(np.clip(steps, low, high).astype(self.input.dtype))


def beside(operators: list[Operator]) -> onnx.ModelProto:
    """A graph of several operators, each with an input and an output of its own."""
    nodes, constants, inputs, outputs = [], [], [], []
    for operator in operators:
        some, values = operator.nodes()
        nodes += some
        constants += values
        kind = TensorProto.UINT8 if operator.input.dtype == np.uint8 else TensorProto.INT8
        inputs.append(helper.make_tensor_value_info(f"{operator.name}x", kind, operator.input.shape))
        shape = operator.expected().shape
        outputs.append(helper.make_tensor_value_info(f"{operator.name}q", kind, shape))
    graph = helper.make_graph(nodes, "quantised", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model
