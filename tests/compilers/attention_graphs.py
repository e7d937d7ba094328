"""Attentions as exporters write them, and what NumPy says each gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
_GRIDS = {"q": 0.02, "k": 0.02, "s": 0.25, "p": 0.0, "v": 0.02, "o": 0.01}


@dataclass(frozen=True)
class Case:
    """``tokens`` queries over ``past`` + ``tokens`` keys, ``heads`` of ``depth`` (values: ``width``)."""

    tokens: int
    heads: int
    depth: int
    width: int
    past: int = 0
    cross: int = 0

    @property
    def keys(self) -> int:
        """How many keys there are."""
        return self.past + (self.cross or self.tokens)


def steps(value: Array, scale: float, zero: int, dtype: type) -> Array:
    """QuantizeLinear."""
    info = np.iinfo(dtype)
    whole = np.rint(value.astype(np.float32) / np.float32(scale)) + zero
    return np.asarray(np.clip(whole, info.min, info.max).astype(dtype))


class Attention:
    """One case: its inputs, its graph and what it gives; ``dtype`` quantises it, None leaves it fp32."""

    def __init__(self, case: Case, dtype: type | None, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.name = f"a{seed}_"
        self.case, self.dtype, self.factor = case, dtype, np.float32(case.depth**-0.5)
        given = case.cross or case.tokens
        real = {
            "q": rng.standard_normal((case.tokens, case.heads * case.depth), np.float32),
            "k": rng.standard_normal((given, case.heads * case.depth), np.float32),
            "v": rng.standard_normal((given, case.heads * case.width), np.float32),
        }
        self.low = np.iinfo(dtype).min if dtype else 0
        self.grids = {
            name: (scale or 2.5 / case.keys / 255 * 4, self.low + (0 if name == "p" else 100 + i * 11))
            for i, (name, scale) in enumerate(_GRIDS.items())
        }
        self.inputs: dict[str, Array] = {
            name: steps(value, *self.grids[name], dtype) if dtype else value for name, value in real.items()
        }
        if case.past:
            for name, size in (("pk", case.depth), ("pv", case.width)):
                self.inputs[name] = rng.standard_normal((case.heads, case.past, size), np.float32)

    def graph(self) -> onnx.ModelProto:
        """The graph: heads split by Reshape and Transpose, caches joined by Concat, heads joined again."""
        case, nodes, constants = self.case, [], []

        def constant(name: str, value: Array) -> str:
            constants.append(numpy_helper.from_array(value, name))
            return name

        def node(op: str, inputs: list[str], output: str, **attrs: Any) -> str:
            nodes.append(helper.make_node(op, inputs, [output], **attrs))
            return output

        def grid(name: str) -> list[str]:
            scale, zero = self.grids[name]
            known = [item.name for item in constants]
            if f"{name}_scale" not in known:
                constant(f"{name}_scale", np.array(scale, np.float32))
                constant(f"{name}_zero", np.array(zero, self.dtype))
            return [f"{name}_scale", f"{name}_zero"]

        def around(name: str, at: str) -> str:
            if not self.dtype:
                return at
            node("QuantizeLinear", [at, *grid(name)], f"{at}_q")
            return node("DequantizeLinear", [f"{at}_q", *grid(name)], f"{at}_dq")

        heads = {}
        for name, size in (("q", case.depth), ("k", case.depth), ("v", case.width)):
            at = node("DequantizeLinear", [name, *grid(name)], f"{name}_real") if self.dtype else name
            shape = constant(f"{name}_shape", np.array([-1, case.heads, size], np.int64))
            at = node("Reshape", [at, shape], f"{name}_split")
            at = node("Transpose", [at], f"{name}_heads", perm=[1, 0, 2])
            if case.past and name != "q":
                at = node("Concat", [f"p{name}", at], f"{name}_all", axis=1)
            if name == "k":
                at = node("Transpose", [at], "k_turned", perm=[0, 2, 1])
            heads[name] = around(name, at)
        at = around("s", node("MatMul", [heads["q"], heads["k"]], "scores"))
        at = node("Mul", [at, constant("factor", np.array(self.factor))], "scaled")
        at = around("p", node("Softmax", [at], "weights", axis=-1))
        at = node("MatMul", [at, heads["v"]], "weighted")
        if self.dtype:
            at = node("QuantizeLinear", [at, *grid("o")], "weighted_q")
        at = node("Transpose", [at], "joined", perm=[1, 0, 2])
        node("Reshape", [at, constant("flat", np.array([case.tokens, -1], np.int64))], "y")
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype or np.float32))
        given = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for n, x in self.inputs.items()
        ]
        made = [helper.make_tensor_value_info("y", kind, (case.tokens, case.heads * case.width))]
        graph = helper.make_graph(nodes, "attention", given, made, constants)
        for item in (*graph.input, *graph.output, *graph.initializer):
            item.name = f"{self.name}{item.name}"
        for each in graph.node:
            for names in (each.input, each.output):
                renamed = [f"{self.name}{name}" for name in names]
                del names[:]
                names.extend(renamed)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def named(self) -> dict[str, Array]:
        """The inputs by the names that the graph gives them."""
        return {f"{self.name}{name}": value for name, value in self.inputs.items()}

    def expected(self) -> Array:
        """The definition, every step that the graph names rounded; sums are exact."""
        case = self.case
        q, k, v = (self._heads(name) for name in ("q", "k", "v"))
        if not self.dtype:
            scores = (q.astype(np.float64) @ k.astype(np.float64).swapaxes(1, 2)) * self.factor
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            y = weights @ v
        else:
            scores = self._next(q @ k.swapaxes(1, 2), "q", "k", "s")
            real = (scores * np.float32(self.grids["s"][0])) * self.factor
            powers = np.exp(real - real.max(-1, keepdims=True), dtype=np.float32)
            share = powers / powers.sum(-1, keepdims=True, dtype=np.float32)
            weights = steps(share, *self.grids["p"], self.dtype).astype(np.int64) - self.grids["p"][1]
            y = self._next(weights @ v, "p", "v", "o") + self.grids["o"][1]
        return np.asarray(y.swapaxes(0, 1).reshape(case.tokens, -1).astype(self.dtype or np.float32))

    def _heads(self, name: str) -> Array:
        value = self.inputs[name].astype(np.int64 if self.dtype else np.float32)
        if self.dtype:
            value = value - self.grids[name][1]
        split = value.reshape(len(value), self.case.heads, -1).swapaxes(0, 1)
        past = self.inputs.get(f"p{name}")
        if past is None:
            return np.asarray(split)
        if self.dtype:
            scale, zero = self.grids[name]
            past = steps(past, scale, zero, self.dtype).astype(np.int64) - zero
        return np.concatenate([past, split], 1)

    def _next(self, sums: Array, a: str, b: str, c: str) -> Array:
        first, second, third = (np.float32(self.grids[name][0]) for name in (a, b, c))
        assert self.dtype is not None
        info, zero = np.iinfo(self.dtype), self.grids[c][1]
        whole = np.rint(sums.astype(np.float32) * (first * second / third)).astype(np.int64)
        return np.asarray(np.clip(whole, info.min - zero, info.max - zero))


def beside(attentions: list[Attention]) -> onnx.ModelProto:
    """Several of them in one graph."""
    graphs = [attention.graph() for attention in attentions]
    whole = graphs[0]
    for other in graphs[1:]:
        for field in ("node", "input", "output", "initializer"):
            getattr(whole.graph, field).extend(getattr(other.graph, field))
    return whole
