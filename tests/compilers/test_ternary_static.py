"""Static layers with ternary weights: every kernel against NumPy, bit for bit, and what their weights take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgepress.bundle.layers import KernelLayer
from edgepress.cli.layer_table import bits_lines, counted_table
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.hardware.emulator.wasm import run_module
from edgepress.runtimes.native import NativeModel
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from tests.compilers.quantised_graphs import Case, Operator, beside
from tests.compilers.running import compiled
from tests.compilers.test_int8_kernels import agree, matrix, native_boards

Ternary = partial(Case, lowest=-1, highest=1)
# Inputs that fill no run, sums longer than 16 bits hold, windows of every kind, groups, few and many rows.
CASES = [
    Ternary(8, 17, (5, 7)), Ternary(19, 33, (9, 5), 3, 1, 1), Ternary(33, 16, (7, 7), 3, 2, 1),
    Ternary(48, 40, (6, 9), 3, 1, 2, dilation=2, low=-1.0), Ternary(600, 24, (5, 3)),
    Ternary(1100, 5, ()), Ternary(70, 35, (), zero=128), Ternary(64, 96, (13, 11), 3, 1, 1),
    Ternary(24, 32, (23,), 5, 2, 2), Ternary(128, 64, (5, 5), 3, 1, 1, 4),
    Ternary(256, 32, (4, 4), 3, 1, 1, batch=1), Ternary(3, 16, (9, 9), 3, 2, 1),
    Ternary(40, 40, (7, 6), 3, 1, 1, 40),
]  # fmt: skip
SOME = [CASES[1], CASES[4], CASES[6], CASES[9]]
LONG = [CASES[1], CASES[4], CASES[5], CASES[7], CASES[10]]


def usual(boards: list[str], *always: str) -> list[Any]:
    """Boards that are tested always, and others where time allows."""
    marks = {board: [] if board in always else [pytest.mark.slow] for board in boards}
    return [pytest.param(board, id=Path(board).stem, marks=marks[board]) for board in boards]


def operators_of(cases: list[Case], kind: type) -> list[Operator]:
    return [Operator(case, kind, seed) for seed, case in enumerate(cases)]


@pytest.mark.parametrize(
    ("board", "kind"), matrix(native_boards(), {"host": np.uint8, "x86-64-v3": np.uint8})
)
def test_kernels_equal_numpy(board: str, kind: type, tmp_path: Path) -> None:
    operators = operators_of(CASES, kind)
    _, native = compiled(beside(operators), tmp_path, board)
    agree(operators, native.run({f"{o.name}x": o.input for o in operators}))


@pytest.mark.parametrize("board", usual(native_boards(), "host", "x86-64-v3"))
def test_sums_are_exact_at_the_ends_of_every_range(board: str, tmp_path: Path) -> None:
    # Every product is as large as it can be, all of one sign: sums of 16 bits come to their ends.
    operators = []
    for number, (case, (kind, sign)) in enumerate(product(LONG, ((np.uint8, 1), (np.int8, -1)))):
        operator = Operator(replace(case, low=None), kind, number)
        operator.weight[:] = sign
        operator.input[0], operator.input[1:] = np.iinfo(kind).max, np.iinfo(kind).min
        # All outputs within the range: only then is every bit of a sum looked at.
        largest = np.abs(operator.sums()).max() * float(operator.scale_in * operator.scales.max())
        operator.scale_out = np.float32(largest / 100)
        operators.append(operator)
    _, native = compiled(beside(operators), tmp_path, board)
    found = native.run({f"{o.name}x": o.input for o in operators})
    for operator in operators:
        np.testing.assert_array_equal(found[f"{operator.name}q"], operator.expected(), str(operator.case))


@pytest.mark.parametrize(
    "board", usual(["rpi4", "rpi5", "riscv64", "wasm32", "cortex-m7"], "rpi4", "rpi5", "wasm32")
)
def test_kernels_equal_numpy_on_an_emulated_board(board: str, tmp_path: Path) -> None:
    target = load_target(board)
    operators = operators_of(
        CASES if target.cpu.arch == "aarch64" else SOME, np.dtype(target.activations).type
    )
    made = compile_graph(beside(operators), target, tmp_path)
    linked = link([made.model, made.kernels], target, tmp_path / "lib", executable=board == "cortex-m7")
    library = linked.image if board == "cortex-m7" else linked.shared
    assert library is not None
    given = {f"{o.name}x": o.input for o in operators}
    stored = (library.read_bytes(), made.weights.read_bytes(), [given[spec.name] for spec in made.inputs])
    outputs = run_module(*stored).outputs if board == "wasm32" else emulate_library(*stored, target).outputs
    agree(operators, dict(zip([spec.name for spec in made.outputs], outputs, strict=True)))


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    # Each part of a kernel unfolds its own panels.
    operators = operators_of([*SOME, Ternary(64, 84, (27, 25), 3, 1, 1)], np.uint8)
    board = "x86-64-v3" if "x86-64-v3" in native_boards() else "host"
    kernels, _ = compiled(beside(operators), tmp_path, board)
    library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
    for threads in (2, 3, 16):
        native = NativeModel(library, kernels.weights.read_bytes(), threads=threads)
        agree(operators, native.run({f"{o.name}x": o.input for o in operators}))


def _layers(cases: list[Case], board: str, folder: Path) -> list[KernelLayer]:
    made = compile_graph(beside(operators_of(cases, np.uint8)), load_target(board), folder)
    return [layer for layer in made.layers if layer.macs]


@pytest.mark.parametrize("board", ["x86-64-v4", "rpi5", "wasm32"])
def test_weights_take_two_bits(board: str, tmp_path: Path) -> None:
    cases = [
        Ternary(64, 64, (7, 7), 3, 1, 1),
        Ternary(144, 96, (5, 5)),
        Ternary(192, 256, ()),
    ]
    for case, layer in zip(cases, _layers(cases, board, tmp_path), strict=True):
        assert layer.weight_bits is not None and layer.weight_bits <= 2.1 and not layer.left, case
        # With the bias and the scale of each output.
        weights = case.inputs * case.outputs * case.window ** len(case.space)
        assert layer.weight_bytes == layer.weight_bits * weights / 8 + 8 * case.outputs


def test_a_layer_says_why_its_weights_keep_eight_bits(tmp_path: Path) -> None:
    cases = [
        Ternary(3, 32, (9, 9), 3, 2, 1), Ternary(32, 32, (7, 7), 3, 1, 1, 32),
        Case(64, 64, (7, 7), 3, 1, 1),
    ]  # fmt: skip
    few, apart, eight = _layers(cases, "host", tmp_path)
    assert (few.left, few.weight_bits) == ("fewer than eight inputs", 8)
    assert apart.left == "each output has an input of its own"
    assert (eight.left, eight.weight_bits) == ("", None)
    page = "\n".join([counted_table([few, apart, eight]), *bits_lines([few, apart, eight])])
    assert " bits " in page and f"{few.name} keeps weights of 8 bits: fewer than eight inputs" in page
    assert " bits " not in counted_table([eight]) and bits_lines([eight]) == []


@pytest.mark.parametrize("case", [CASES[2], CASES[6], CASES[12]])
def test_sums_that_nothing_quantises_become_numbers(case: Case, tmp_path: Path) -> None:
    operator = Operator(replace(case, low=None), np.uint8, 3)
    model = beside([operator])
    last = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    model.graph.node.remove(last)
    model.graph.node.append(helper.make_node("Relu", [last.input[0]], [last.output[0]]))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    _, native = compiled(model, tmp_path)
    found = native.run({f"{operator.name}x": operator.input})[f"{operator.name}q"]
    scale = (operator.scales * operator.scale_in).reshape(1, -1, *[1] * len(case.space))
    np.testing.assert_array_equal(found, np.maximum(operator.sums().astype(np.float32) * scale, 0))


def test_the_largest_of_a_window_is_taken_of_bytes(tmp_path: Path) -> None:
    operator = Operator(Ternary(24, 40, (9, 11), 3, 1, 1), np.uint8, 4)
    model = beside([operator])
    last = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    pool = helper.make_node(
        "MaxPool", [last.input[0]], ["pooled"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]
    )
    model.graph.node.insert(len(model.graph.node) - 1, pool)
    model.graph.node[-1].input[0] = "pooled"
    whole = operator.expected()
    wide = np.pad(whole, [(0, 0), (0, 0), (0, 1), (0, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (2, 3))[:, :, ::2, ::2]
    expected = windows.max((-2, -1))
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = expected.shape[2:]
    kernels, native = compiled(model, tmp_path)
    found = native.run({f"{operator.name}x": operator.input})[f"{operator.name}q"]
    np.testing.assert_array_equal(found, expected)
    assert [layer.integer for layer in kernels.layers if layer.kernel == "window"] == [True]


def test_weights_of_zeros_and_sums_that_would_leave_32_bits(tmp_path: Path) -> None:
    zeros, large = operators_of([Ternary(32, 20, (5, 5), 3, 1, 1), Ternary(64, 33, (5, 5))], np.uint8)
    zeros.weight[:] = 0
    large.bias[::2] = 2**30
    large.scale_out = np.float32(2**30 * 0.02 * 0.003 / 100)
    _, native = compiled(beside([zeros, large]), tmp_path)
    found = native.run({f"{o.name}x": o.input for o in (zeros, large)})
    for operator in (zeros, large):
        np.testing.assert_array_equal(found[f"{operator.name}q"], operator.expected())
    assert len(np.unique(found[f"{large.name}q"])) > 2


@pytest.mark.parametrize(("board", "most"), [("rpi4", 0.80), ("rpi5", 1.03)])
def test_a_convolution_takes_no_more_instructions_than_at_eight_bits(
    board: str, most: float, tmp_path: Path
) -> None:
    target = load_target(board)
    cases = [
        replace(case, lowest=-largest, highest=largest)
        for case in (Case(32, 64, (14, 14), 3, 1, 1, batch=1), Case(96, 96, (14, 14), batch=1))
        for largest in (1, 127)
    ]
    operators = operators_of(cases, np.dtype(target.activations).type)
    made = compile_graph(beside(operators), target, tmp_path)
    library = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert library is not None
    given = {f"{o.name}x": o.input for o in operators}
    inputs = [given[spec.name] for spec in made.inputs]
    result = emulate_library(library.read_bytes(), made.weights.read_bytes(), inputs, target, layers=True)
    counts = [count for layer, (_, count) in zip(made.layers, result.layers, strict=True) if layer.macs]
    for ternary, eight in zip(counts[::2], counts[1::2], strict=True):
        assert ternary <= most * eight
