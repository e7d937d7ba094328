"""Dense layers of dynamic rows against NumPy, bit for bit, on shapes that are no multiple of anything."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepress.errors import UnsupportedOpError
from edgepress.hardware.emulator.board import run_image
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.hardware.emulator.wasm import run_module
from edgepress.runtimes.native import NativeModel
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import AotKernels, compile_graph
from tests.compilers.dynamic_graphs import Dense, Layer, together
from tests.compilers.running import compiled, reference
from tests.compilers.test_int8_kernels import native_boards
from tests.required_tools import tool

SMALL_CACHE = str(Path(__file__).with_name("x86-64-v4-small-cache.toml"))
TERNARY = [
    Dense((1,), 64, 64), Dense((1,), 35, 37, one_step=True), Dense((3,), 33, 5, relu=True), Dense((2,), 100, 130),
    Dense((17,), 64, 48, levels=127.0, divided=True), Dense((1,), 5, 3), Dense((2, 9), 250, 70, one_step=True),
    Dense((1, 1), 1, 1), Dense((5,), 272, 16, levels=127.0), Dense((1,), 130, 33, relu=True), Dense((33,), 18, 40),
]  # fmt: skip
EIGHT = [
    replace(case, lowest=low, highest=high, extreme=extreme)
    for case, (low, high, extreme) in zip(
        TERNARY, cycle([(-127, 127, False), (-64, 64, True), (-128, 127, True), (-2, 1, False)])
    )
]
EXTREME = [
    Dense((rows,), inputs, 50, extreme=True) for rows, inputs in ((1, 300), (9, 1000), (2, 16), (3, 113))
]


def _agree(layers: list[Layer], found: dict[str, Any]) -> None:
    for layer in layers:
        np.testing.assert_array_equal(found[f"{layer.name}y"], layer.expected(), str(layer.case))


def _inputs(layers: list[Layer]) -> dict[str, Any]:
    return {f"{layer.name}x": layer.x for layer in layers}


def _emulated(layers: list[Layer], board: str, folder: Path) -> tuple[AotKernels, dict[str, Any]]:
    target = load_target(board)
    made = compile_graph(together(layers), target, folder)
    linked = link(
        [made.model, made.kernels], target, folder / "lib", executable=target.kind == "microcontroller"
    )
    library = linked.shared or linked.image
    assert library is not None
    given = [_inputs(layers)[spec.name] for spec in made.inputs]
    weights = made.weights.read_bytes()
    if target.cpu.arch == "wasm32":
        outputs = run_module(library.read_bytes(), weights, given).outputs
    elif not target.toolchain.unicorn:
        tool("qemu-system-arm")
        run = run_image(library, weights, given, made.outputs, target, timeout_s=60)
        assert run is not None
        outputs = run
    else:
        outputs = emulate_library(library.read_bytes(), weights, given, target).outputs
    return made, dict(zip([spec.name for spec in made.outputs], outputs, strict=True))


@pytest.mark.parametrize("cases", [TERNARY, EXTREME, EIGHT], ids=["ternary", "extreme", "eight"])
@pytest.mark.parametrize("board", native_boards(), ids=lambda board: Path(board).stem)
def test_layers_equal_numpy(board: str, cases: list[Dense], tmp_path: Path) -> None:
    layers = [Layer(case, seed) for seed, case in enumerate(cases)]
    made, native = compiled(together(layers), tmp_path, board)
    _agree(layers, native.run(_inputs(layers)))
    # The layer of one weight is ternary by chance.
    products = {"tile_dot", "ternary"} if cases is EIGHT else {"ternary"}
    assert {layer.kernel for layer in made.layers} == {"row_codes"} | products


def _runs_here(board: str) -> bool:
    return set(load_target(board).cpu.features) <= set(load_target("host").cpu.features)


@pytest.mark.parametrize("cases", [TERNARY, EXTREME], ids=["ternary", "extreme"])
def test_single_rows_read_five_weights_a_byte_where_they_come_from_memory(
    cases: list[Dense], tmp_path: Path
) -> None:
    layers = [
        Layer(replace(case, rows=(1,)), seed) for seed, case in enumerate([*cases, Dense((1,), 640, 96)])
    ]
    made = compile_graph(together(layers), load_target(SMALL_CACHE), tmp_path)
    assert 1.6 in {layer.weight_bits for layer in made.layers}
    if _runs_here(SMALL_CACHE):
        _, native = compiled(together(layers), tmp_path, SMALL_CACHE)
        _agree(layers, native.run(_inputs(layers)))


@pytest.mark.parametrize(
    "board", ["rpi4", "rpi5", "rpi-zero2w", "riscv64", "cortex-m7", "cortex-m55", "wasm32"]
)
def test_layers_equal_numpy_on_an_emulated_board(board: str, tmp_path: Path) -> None:
    cases = [*TERNARY[1:3], TERNARY[4], TERNARY[7], EXTREME[3], *EIGHT[1:4]]
    layers = [Layer(case, seed) for seed, case in enumerate(cases)]
    _, found = _emulated(layers, board, tmp_path)
    _agree(layers, found)


def test_a_bias_and_what_follows_are_part_of_the_kernel(tmp_path: Path) -> None:
    layers = [Layer(replace(case, bias=True, relu=True), seed) for seed, case in enumerate(TERNARY)]
    made, native = compiled(together(layers), tmp_path)
    found = native.run(_inputs(layers))
    for layer in layers:
        np.testing.assert_allclose(found[f"{layer.name}y"], layer.expected(), rtol=3e-7, atol=3e-7)
    assert len(made.layers) == 2 * len(layers)
    beside = reference(together(layers), _inputs(layers), optimised=False)
    for name, value in beside.items():
        np.testing.assert_allclose(found[name], value, rtol=3e-7, atol=3e-7)


def test_every_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    layers = [Layer(case, seed) for seed, case in enumerate(TERNARY)]
    made, _ = compiled(together(layers), tmp_path)
    library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
    for threads in (2, 5):
        native = NativeModel(library, made.weights.read_bytes(), threads=threads)
        _agree(layers, native.run(_inputs(layers)))


def test_layers_that_read_the_same_rows_share_their_codes(tmp_path: Path) -> None:
    layers = [Layer(Dense((4,), 48, outputs), seed) for seed, outputs in enumerate((32, 20, 7))]
    model = together(layers)
    for layer in layers[1:]:
        layer.x = layers[0].x
        for node in model.graph.node:
            node.input[:] = [("d0x" if name == f"{layer.name}x" else name) for name in node.input]
    del model.graph.input[1:]
    made, native = compiled(model, tmp_path)
    _agree(layers, native.run({"d0x": layers[0].x}))
    assert [layer.kernel for layer in made.layers].count("row_codes") == 1


def test_weights_take_two_bits_each_and_the_layer_says_so(tmp_path: Path) -> None:
    made = compile_graph(together([Layer(Dense((1,), 256, 512), 0)]), load_target("x86-64-v4"), tmp_path)
    layer = next(layer for layer in made.layers if layer.kernel == "ternary")
    assert layer.weight_bits == 2.0
    assert layer.weight_bytes == 256 * 512 * 2 / 8 + 4 * 512 + 4
    assert (layer.macs, layer.op, layer.integer) == (256 * 512, "MatMulInteger", True)


def _changed(model: onnx.ModelProto, name: str, value: np.ndarray[Any, Any]) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))
    return model


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("d0zero", np.uint8(127)),
        ("d0low", np.float32(-127)),
        ("d0middle", np.float32(127)),
        ("d0axes", np.array([0])),
    ],
)
def test_a_product_of_another_pattern_is_refused_by_its_name(name: str, value: Any, tmp_path: Path) -> None:
    model = _changed(together([Layer(Dense((4,), 16, 8), 0)]), name, np.asarray(value))
    with pytest.raises(UnsupportedOpError, match=r"MatMulInteger.*d0sums"):
        compile_graph(model, load_target("host"), tmp_path)


@pytest.mark.parametrize("one_step", [True, False])
def test_a_layer_without_outputs_is_refused(one_step: bool, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOpError, match=r"MatMulInteger.*d0sums"):
        compile_graph(
            together([Layer(Dense((4,), 16, 0, one_step=one_step), 0)]), load_target("host"), tmp_path
        )


@pytest.mark.parametrize("shape", [(4, 1), (1, 1, 4)])
def test_a_bias_that_is_not_by_output_is_added_behind(shape: tuple[int, ...], tmp_path: Path) -> None:
    layer = Layer(Dense((4,), 16, 4, bias=True), 0)
    assert layer.bias is not None
    layer.bias = layer.bias.reshape(shape)
    model = together([layer])
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("d0y", onnx.TensorProto.FLOAT, layer.expected().shape)
    )
    _, native = compiled(model, tmp_path)
    np.testing.assert_allclose(native.run(_inputs([layer]))["d0y"], layer.expected(), rtol=3e-7, atol=3e-7)


def test_sums_that_something_else_reads_are_refused(tmp_path: Path) -> None:
    model = together([Layer(Dense((4,), 16, 8), 0)])
    model.graph.output.append(helper.make_tensor_value_info("d0sums", onnx.TensorProto.INT32, (4, 8)))
    with pytest.raises(UnsupportedOpError, match="MatMulInteger"):
        compile_graph(model, load_target("host"), tmp_path)
