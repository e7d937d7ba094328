"""Seeded random ONNX graphs, valid by construction: windows, element-wise, shape and matrix operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
Shape = tuple[int, ...]


class GraphMaker:
    """Grows a graph node by node; ``live`` holds float tensors that later nodes may read."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.live: list[tuple[str, Shape]] = []
        self.inputs: list[tuple[str, Shape]] = []
        self.count = 0

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def weight(self, shape: Shape, scale: float | None = None) -> str:
        fan = float(np.prod(shape[1:])) if len(shape) > 1 else 4.0
        value = self.rng.standard_normal(shape) * (scale if scale is not None else fan**-0.5)
        return self.constant(value.astype(np.float32))

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def input(self, shape: Shape) -> None:
        name = f"in{len(self.inputs)}"
        self.inputs.append((name, shape))
        self.live.append((name, shape))

    def add(self, op: str, inputs: list[str], shape: Shape, **attrs: Any) -> tuple[str, Shape]:
        name = f"t{self.count}"
        self.count += 1
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attrs))
        self.live.append((name, shape))
        return name, shape

    def model(self) -> onnx.ModelProto:
        read = {name for node in self.nodes for name in node.input}
        ends = [(n, s) for n, s in self.live if n not in read and n.startswith("t")]
        ends = ends[-3:] or [self.live[-1]]
        graph = helper.make_graph(
            self.nodes, "random",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in self.inputs],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends],
            self.weights,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


def conv(g: GraphMaker, x: str, shape: Shape) -> None:
    dims = len(shape) - 2
    kernel = [g.pick(1, 1, 2, 3, 3, 5) for _ in range(dims)]
    dilation = g.pick(1, 1, 1, 2)
    strides = [g.pick(1, 1, 2, 3) for _ in range(dims)]
    before = [g.pick(0, (k - 1) * dilation // 2, k - 1) for k in kernel]
    after = [g.pick(0, (k - 1) * dilation // 2) for k in kernel]
    reach = [(k - 1) * dilation + 1 for k in kernel]
    room = [e + b + a for e, b, a in zip(shape[2:], before, after, strict=True)]
    if any(r > e for r, e in zip(reach, room, strict=True)):
        return
    space = [(e - r) // s + 1 for e, r, s in zip(room, reach, strides, strict=True)]
    channels = shape[1]
    group = g.pick(1, 1, channels, 2 if channels % 2 == 0 else 1)
    out = group * g.pick(1, 2, 3) if group > 1 else g.pick(1, 3, 8, 13, 17, 24, 35)
    if group == channels and g.pick(0, 1):
        out = channels
    weight = g.weight((out, channels // group, *kernel))
    inputs = [x, weight] + ([g.weight((out,))] if g.pick(0, 1) else [])
    name, made = g.add(
        "Conv", inputs, (shape[0], out, *space), kernel_shape=kernel, strides=strides,
        dilations=[dilation] * dims, pads=[*before, *after], group=group,
    )  # fmt: skip
    if g.pick(0, 1):
        batch_norm(g, name, made)


def batch_norm(g: GraphMaker, x: str, shape: Shape) -> None:
    c = shape[1]
    var = g.constant((0.5 + g.rng.random(c)).astype(np.float32))
    g.add("BatchNormalization", [x, g.weight((c,)), g.weight((c,)), g.weight((c,)), var], shape)


def pool(g: GraphMaker, x: str, shape: Shape) -> None:
    dims = len(shape) - 2
    kernel = [min(g.pick(2, 3), e) for e in shape[2:]]
    strides = [g.pick(1, 2) for _ in range(dims)]
    pads = [g.pick(0, k - 1, k // 2) for k in kernel] + [g.pick(0, k // 2) for k in kernel]
    room = [e + b + a for e, b, a in zip(shape[2:], pads[:dims], pads[dims:], strict=True)]
    space = [(e - k) // s + 1 for e, k, s in zip(room, kernel, strides, strict=True)]
    op = str(g.rng.choice(["MaxPool", "AveragePool"]))
    extra = {"count_include_pad": g.pick(0, 1)} if op == "AveragePool" else {}
    g.add(op, [x], (*shape[:2], *space), kernel_shape=kernel, strides=strides, pads=pads, **extra)


def global_pool(g: GraphMaker, x: str, shape: Shape) -> None:
    g.add("GlobalAveragePool", [x], (*shape[:2], *(1 for _ in shape[2:])))


def unary(g: GraphMaker, x: str, shape: Shape) -> None:
    op = str(
        g.rng.choice(
            [
                "Relu",
                "Sigmoid",
                "Tanh",
                "HardSwish",
                "LeakyRelu",
                "Elu",
                "Softplus",
                "Abs",
                "Neg",
                "Erf",
                "Floor",
                "HardSigmoid",
            ]
        )
    )
    if op == "Floor":  # a step function would turn a rounding error into a whole step
        x, shape = g.add("Mul", [x, g.constant(np.array(0.0, np.float32))], shape)
    g.add(op, [x], shape)


def clip(g: GraphMaker, x: str, shape: Shape) -> None:
    low = g.constant(np.array(-0.5, np.float32)) if g.pick(0, 1) else ""
    g.add("Clip", [x, low, g.constant(np.array(1.5, np.float32))], shape)


def binary(g: GraphMaker, x: str, shape: Shape) -> None:
    op = str(g.rng.choice(["Add", "Sub", "Mul", "Max", "Min"]))
    others = [n for n, s in g.live if s == shape]
    if g.pick(0, 1) or not others:
        small = tuple(e if g.pick(0, 1) else 1 for e in shape)
        other = g.weight(small[g.pick(0, len(shape) - 1) :] or (1,), 1.0)
    else:
        other = str(g.rng.choice(others))
    g.add(op, [x, other] if g.pick(0, 1) else [other, x], shape)


def concat(g: GraphMaker, x: str, shape: Shape) -> None:
    axis = g.pick(*range(len(shape)))
    mates = [(n, s) for n, s in g.live if len(s) == len(shape)
             and all(a == b for d, (a, b) in enumerate(zip(s, shape, strict=True)) if d != axis)]  # fmt: skip
    chosen = [mates[int(i)] for i in g.rng.integers(0, len(mates), 2)]
    total = shape[axis] + sum(s[axis] for _, s in chosen)
    g.add("Concat", [x, *(n for n, _ in chosen)], (*shape[:axis], total, *shape[axis + 1 :]), axis=axis)


def reshape(g: GraphMaker, x: str, shape: Shape) -> None:
    total = int(np.prod(shape[1:]))
    factor = next((f for f in (int(g.rng.integers(2, 9)), 2, 3, 5) if total % f == 0), 1)
    target = (shape[0], factor, total // factor)
    g.add("Reshape", [x, g.constant(np.array(target, np.int64))], target)


def transpose(g: GraphMaker, x: str, shape: Shape) -> None:
    perm = [0, *(1 + g.rng.permutation(len(shape) - 1))]
    g.add("Transpose", [x], tuple(shape[int(p)] for p in perm), perm=[int(p) for p in perm])


def matmul(g: GraphMaker, x: str, shape: Shape) -> None:
    out = g.pick(1, 4, 7, 16, 33)
    g.add("MatMul", [x, g.weight((shape[-1], out), shape[-1] ** -0.5)], (*shape[:-1], out))


def gram(g: GraphMaker, x: str, shape: Shape) -> None:
    if len(shape) < 3 or shape[-2] > 64:
        return
    perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    turned, _ = g.add("Transpose", [x], tuple(shape[p] for p in perm), perm=perm)
    g.add("Mul", [x, g.constant(np.array(shape[-1] ** -0.5, np.float32))], shape)
    g.add("MatMul", [g.live[-1][0], turned], (*shape[:-1], shape[-2]))


def gemm(g: GraphMaker, x: str, shape: Shape) -> None:
    flat, (rows, width) = g.add("Flatten", [x], (shape[0], int(np.prod(shape[1:]))), axis=1)
    if width > 4096:
        return
    out, turned = g.pick(2, 10, 19), g.pick(0, 1)
    weight = g.weight((out, width) if turned else (width, out), width**-0.5)
    g.add("Gemm", [flat, weight, g.weight((out,))], (rows, out), transB=turned)


def reduce(g: GraphMaker, x: str, shape: Shape) -> None:
    op = str(g.rng.choice(["ReduceMean", "ReduceSum", "ReduceMax"]))
    axes = sorted({g.pick(*range(1, len(shape))) for _ in range(2)})
    scaled, _ = g.add("Mul", [x, g.constant(np.array(0.25, np.float32))], shape)
    kept = tuple(1 if d in axes else e for d, e in enumerate(shape))
    g.add(op, [scaled, g.constant(np.array(axes, np.int64))], kept, keepdims=1)


def softmax(g: GraphMaker, x: str, shape: Shape) -> None:
    g.add("Softmax", [x], shape, axis=g.pick(1, -1))


def layer_norm(g: GraphMaker, x: str, shape: Shape) -> None:
    if shape[-1] > 1:
        g.add("LayerNormalization", [x, g.weight(shape[-1:], 1.0), g.weight(shape[-1:])], shape, axis=-1)


def pad(g: GraphMaker, x: str, shape: Shape) -> None:
    pads = [0] + [g.pick(0, 1, 2) for _ in shape[1:]] + [0] + [g.pick(0, 1) for _ in shape[1:]]
    rank = len(shape)
    made = tuple(e + pads[d] + pads[rank + d] for d, e in enumerate(shape))
    g.add("Pad", [x, g.constant(np.array(pads, np.int64)), g.constant(np.array(0.5, np.float32))], made)


def cut(g: GraphMaker, x: str, shape: Shape) -> None:
    axis = len(shape) - 1
    if shape[axis] < 4:
        return
    step = g.pick(1, 2)
    ends = shape[axis] - 1
    made = (*shape[:-1], len(range(1, ends, step)))
    names = [g.constant(np.array([v], np.int64)) for v in (1, ends, axis, step)]
    g.add("Slice", [x, *names], made)


Op = Callable[[GraphMaker, str, Shape], None]
ANY: tuple[Op, ...] = (unary, clip, binary, concat, transpose, reduce, softmax, pad, cut, layer_norm, matmul)
SPATIAL: tuple[Op, ...] = (conv, conv, conv, pool, *ANY)


def random_graph(seed: int) -> onnx.ModelProto:
    """A valid graph of 4 to 14 operators; the same seed gives the same graph."""
    g = GraphMaker(seed)
    kind = seed % 3
    if kind == 0:
        g.input((g.pick(1, 1, 2), g.pick(1, 3, 5, 16), g.pick(5, 8, 13, 17), g.pick(4, 7, 12, 19)))
    elif kind == 1:
        g.input((g.pick(1, 1, 2), g.pick(1, 4, 9, 20), g.pick(11, 32, 45)))
    else:
        g.input((g.pick(1, 2), g.pick(3, 10, 17), g.pick(8, 15, 32)))
        if g.pick(0, 1):
            g.input(g.live[0][1])
    for step in range(4 + seed % 11):
        name, shape = (
            g.live[-1] if g.rng.random() < 0.8 or step == 0 else g.live[int(g.rng.integers(len(g.live)))]
        )
        ops = SPATIAL if kind < 2 else (*ANY, gram, matmul)
        op = ops[int(g.rng.integers(len(ops)))]
        if op in (conv, pool) and len(shape) < 3:
            continue
        if np.prod(shape) > 60000 and op in (pad, concat, matmul):
            continue
        op(g, name, shape)
    if g.rng.random() < 0.4:
        name, shape = g.live[-1]
        (gemm if len(shape) > 1 else unary)(g, name, shape)
    if g.rng.random() < 0.3 and len(g.live[-1][1]) > 2:
        reshape(g, *g.live[-1])
    if not g.nodes:
        unary(g, *g.live[-1])
    return g.model()


def side_by_side(seeds: range) -> onnx.ModelProto:
    """Several random graphs as one, each seed's names behind ``s<seed>_``: one link for all of them."""
    parts = [onnx.compose.add_prefix(random_graph(seed), f"s{seed}_") for seed in seeds]
    whole = parts[0]
    for part in parts[1:]:
        whole.graph.node.extend(part.graph.node)
        whole.graph.initializer.extend(part.graph.initializer)
        whole.graph.input.extend(part.graph.input)
        whole.graph.output.extend(part.graph.output)
    onnx.checker.check_model(whole, full_check=True)
    return whole
