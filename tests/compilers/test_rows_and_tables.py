"""Softmax, layer normalisation, GELU and look-ups against NumPy, on rows that are no multiple of anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.tvm.prepare import prepare
from edgepress.targets.compilers.tvm.qdq import integer_regions
from edgepress.targets.compilers.tvm.tables import byte_tables
from tests.compilers.running import Arrays, compiled, reference

Array = np.ndarray[Any, Any]
SHAPES = [(1, 512), (7, 33), (4, 64), (6, 40), (3, 5, 71), (2, 130), (9, 47)]
BOARDS = ["host", "x86-64-v3", "rpi4", "rpi5"]


def _native(board: str) -> bool:
    here, cpu = load_target("host").cpu, load_target(board).cpu
    return here.arch == cpu.arch and set(cpu.features) <= set(here.features)


def _run(model: onnx.ModelProto, inputs: Arrays, board: str, folder: Path) -> tuple[Arrays, tuple[str, ...]]:
    """What a graph gives on a board: here where it runs here, else emulated; and which kernels did it."""
    if _native(board):
        kernels, native = compiled(model, folder, board)
        return native.run(inputs), tuple(layer.kernel for layer in kernels.layers)
    target = load_target(board)
    made = compile_graph(model, target, folder)
    shared = link([made.model, made.kernels], target, folder / "lib", executable=False).shared
    assert shared is not None
    given = [inputs[spec.name] for spec in made.inputs]
    result = emulate_library(shared.read_bytes(), made.weights.read_bytes(), given, target)
    return dict(zip([spec.name for spec in made.outputs], result.outputs, strict=True)), tuple(
        layer.kernel for layer in made.layers
    )


def _model(nodes: list[Any], given: Arrays, made: Arrays, constants: Arrays) -> onnx.ModelProto:
    def info(name: str, value: Array) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    graph = helper.make_graph(
        nodes, "rows", [info(*item) for item in given.items()], [info(*item) for item in made.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _normalised(x: Array, scale: Array, bias: Array, epsilon: float) -> Array:
    wide = x.astype(np.float64)
    away = wide - wide.mean(-1, keepdims=True)
    return np.asarray(away / np.sqrt((away**2).mean(-1, keepdims=True) + epsilon) * scale + bias)


@pytest.mark.parametrize("board", BOARDS)
def test_layer_normalisation_equals_numpy(board: str, tmp_path: Path) -> None:
    """Some rows are quantised, some have no bias; those that stay narrow are left to the graph's own steps."""
    rng = np.random.default_rng(1)
    nodes, given, expected, constants = [], {}, {}, {}
    for i, shape in enumerate([*SHAPES, (5, 6)]):
        x = (rng.standard_normal(shape) * 3 + rng.standard_normal((*shape[:-1], 1))).astype(np.float32)
        scale, bias = rng.standard_normal((2, shape[-1])).astype(np.float32)
        given[f"x{i}"], constants[f"s{i}"] = x, scale
        names = [f"x{i}", f"s{i}"]
        if i % 3:
            constants[f"b{i}"] = bias
            names.append(f"b{i}")
        real = _normalised(x, scale, bias if i % 3 else 0 * bias, 1e-5)
        out = f"y{i}"
        nodes.append(helper.make_node("LayerNormalization", names, [out], axis=-1, epsilon=1e-5))
        expected[out] = real.astype(np.float32)
        if i % 2:
            kind = np.uint8 if i % 4 == 1 else np.int8
            zero = np.iinfo(kind).min + 120
            constants[f"g{i}"], constants[f"z{i}"] = np.array(0.021, np.float32), np.array(zero, kind)
            nodes.append(helper.make_node("QuantizeLinear", [out, f"g{i}", f"z{i}"], [f"q{i}"]))
            del expected[out]
            whole = np.rint(real / np.float32(0.021)) + zero
            expected[f"q{i}"] = np.clip(whole, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
    found, ops = _run(_model(nodes, given, expected, constants), given, board, tmp_path)
    assert sum(op == "layer_norm" for op in ops) >= len(SHAPES)
    for name, value in expected.items():
        if value.dtype == np.float32:
            np.testing.assert_allclose(found[name], value, atol=2e-5, rtol=2e-6)
        else:
            gap = np.abs(found[name].astype(int) - value)
            assert gap.max() <= 1 and np.mean(gap > 0) < 0.01


@pytest.mark.parametrize("board", BOARDS)
def test_softmax_and_gelu_equal_numpy(board: str, tmp_path: Path) -> None:
    from math import erf

    rng = np.random.default_rng(2)
    nodes, given, expected = [], {}, {}
    for i, shape in enumerate(SHAPES):
        x = (rng.standard_normal(shape) * 4).astype(np.float32)
        given[f"x{i}"] = x
        nodes.append(helper.make_node("Softmax", [f"x{i}"], [f"s{i}"], axis=-1))
        nodes.append(helper.make_node("Gelu", [f"x{i}"], [f"g{i}"]))
        wide = x.astype(np.float64)
        powers = np.exp(wide - wide.max(-1, keepdims=True))
        expected[f"s{i}"] = (powers / powers.sum(-1, keepdims=True)).astype(np.float32)
        expected[f"g{i}"] = (wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2)))).astype(np.float32)
    found, _ = _run(_model(nodes, given, expected, {}), given, board, tmp_path)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=2e-6, rtol=2e-6, err_msg=name)


def _functions(kind: type) -> tuple[list[Any], Arrays, Arrays, Arrays]:
    """Eight-bit functions as exporters write them, over every byte and over odd numbers of bytes."""
    info = np.iinfo(kind)
    every: Array = np.arange(info.min, info.max + 1).astype(kind)
    given = {
        "a": every.reshape(1, 256),
        "b": np.tile(every, 3)[:601].reshape(1, 601),
        "c": every[97:128].copy(),
    }
    constants = {
        "si": np.array(0.043, np.float32), "so": np.array(0.021, np.float32), "half": np.array(0.5, np.float32),
        "root": np.array(2**0.5, np.float32), "one": np.array(1.0, np.float32),
        "zi": np.array(info.min + 135, kind), "zo": np.array(info.min + 8, kind),
    }  # fmt: skip
    nodes, made = [], {}
    for name, value in given.items():

        def node(op: str, inputs: list[str], out: str, name: str = name) -> str:
            nodes.append(helper.make_node(op, inputs, [f"{name}_{out}"]))
            return f"{name}_{out}"

        x = node("DequantizeLinear", [name, "si", "zi"], "x")
        inner = node("Add", [node("Erf", [node("Div", [x, "root"], "d")], "e"), "one"], "p")
        gelu = node("Mul", [x, node("Mul", ["half", inner], "h")], "g")
        swish = node("Mul", [node("Sigmoid", [x], "s"), x], "w")
        for out in (gelu, swish, node("HardSwish", [x], "k"), node("Tanh", [x], "t"), x):
            nodes.append(helper.make_node("QuantizeLinear", [out, "so", "zo"], [f"{out}_q"]))
            made[f"{out}_q"] = value
    return nodes, given, made, constants


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("board", [*BOARDS, "x86-64-v4"])
def test_functions_of_bytes_are_what_the_nodes_give(board: str, kind: type, tmp_path: Path) -> None:
    nodes, given, made, constants = _functions(kind)
    model = _model(nodes, given, made, constants)
    found, ops = _run(model, given, board, tmp_path)
    assert all(op == "table" for op in ops)
    expected = reference(model, given, optimised=False)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, name)


def test_a_function_of_two_tensors_is_no_table() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["a", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["y"]),
        helper.make_node("Sigmoid", ["y"], ["w"]),
        helper.make_node("Mul", ["x", "w"], ["p"]),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["q"]),
    ]
    every = np.zeros((1, 8), np.uint8)
    constants: Arrays = {"s": np.array(0.1, np.float32), "z": np.array(3, np.uint8)}
    model = _model(nodes, {"a": every, "b": every}, {"q": every}, constants)
    kinds = [node.op_type for node in byte_tables(integer_regions(prepare(model))).graph.node]
    assert "EpTable" not in kinds
    assert kinds.count("Sigmoid") == 1
