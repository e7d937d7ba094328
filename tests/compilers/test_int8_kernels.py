"""Every int8 kernel against NumPy, bit for bit, on shapes that are no multiple of anything."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.tvm.machine import machine_of
from edgepress.targets.compilers.tvm.packing8 import (
    channel_order,
    pack,
    pack_depthwise,
    packing_of,
    with_blank_row,
)
from tests.compilers.quantised_graphs import Case, Operator, beside
from tests.compilers.running import compiled

DENSE = [
    Case(1, 5, (7, 3)), Case(3, 17, (5, 5)), Case(5, 8, (3, 7)), Case(8, 33, (9, 1), low=-1.0),
    Case(17, 24, (5, 3), stride=2), Case(24, 1, (3, 3)), Case(33, 3, (7, 7)), Case(40, 35, (13, 11)),
    Case(64, 96, (7, 7), zero=128), Case(48, 50, (9,)), Case(5, 7, ()), Case(33, 17, (), low=-0.5),
    Case(128, 70, ()), Case(20, 19, (3, 5), lowest=-128), Case(16, 32, (15, 14)),
]  # fmt: skip
WINDOWS = [
    Case(3, 17, (11, 9), 3, 2, 1), Case(5, 8, (7, 9), 3, 1, 1), Case(8, 24, (9, 7), 5, 2, 2),
    Case(17, 33, (7, 5), 3, 1, 0), Case(24, 5, (9, 9), 3, 1, 2, dilation=2), Case(1, 3, (5, 5), 2, 1, 1),
    Case(33, 40, (7, 7), 3, 1, 1, low=-1.0), Case(4, 6, (23,), 5, 2, 2),
]  # fmt: skip
DEPTHWISE = [
    Case(c, c, (h, w), k, s, k // 2, c)
    for c, h, w, k, s in (
        (3, 5, 5, 3, 1), (5, 7, 9, 3, 2), (8, 5, 7, 3, 1), (17, 9, 5, 5, 1), (24, 7, 11, 3, 1), (33, 5, 9, 5, 2),
        (48, 7, 7, 3, 2), (64, 5, 6, 3, 1), (96, 5, 7, 5, 1), (112, 3, 9, 3, 3), (144, 4, 5, 2, 1), (40, 9, 9, 7, 1),
    )
] + [Case(24, 24, (9, 9), 3, 1, 2, 24, dilation=2), Case(32, 32, (15,), 3, 1, 1, 32),
     Case(20, 20, (5, 5), 3, 1, 1, 20, lowest=-128, low=-1.0)]  # fmt: skip
BEHIND_RELU = [
    Case(c, c, space, k, s, pad, c, zero_in=0)
    for c, space, k, s, pad in (
        (8, (5, 7), 3, 1, 1), (16, (7, 8), 3, 1, 1), (24, (6, 6), 3, 1, 1), (32, (5, 10), 3, 1, 1),
        (64, (5, 7), 3, 1, 1), (96, (9, 12), 3, 2, 1), (144, (6, 16), 3, 1, 1), (80, (7, 16), 3, 2, 1),
        (33, (5, 5), 3, 1, 1), (48, (4, 9), 3, 3, 1), (72, (3, 3), 3, 1, 2), (64, (2, 2), 3, 1, 2),
        (16, (1, 1), 3, 1, 1), (40, (9, 11), 5, 1, 2), (128, (7, 14), 5, 1, 2), (16, (8, 24), 5, 2, 2),
        (32, (3, 8), 7, 1, 3), (70, (6, 6), 2, 1, 1), (64, (5, 5), 1, 1, 0), (96, (13,), 3, 1, 1), (32, (12,), 5, 2, 2),
        (64, (8, 8), 4, 1, 0), (144, (5, 5), 3, 1, 0),
    )
]  # fmt: skip
# Groups that fill a register, that are put together to fill one, and that all become one; channels multiplied.
GROUPS = [
    Case(64, 64, (7, 5), 3, 1, 1, 4), Case(24, 40, (5, 9), 3, 2, 1, 8), Case(10, 15, (5, 5), 3, 1, 1, 5),
    Case(64, 256, (5, 3), 1, 1, 0, 2, low=-1.0), Case(128, 128, (6, 6), 3, 1, 1, 32), Case(9, 27, (5, 5), 3, 1, 1, 9),
    Case(48, 96, (7,), 3, 1, 2, 3, dilation=2), Case(36, 36, (9, 5), 3, 1, 1, 3, lowest=-128),
]  # fmt: skip
FAMILIES = {
    "dense": DENSE,
    "windows": WINDOWS,
    "depthwise": DEPTHWISE,
    "behind_relu": BEHIND_RELU,
    "groups": GROUPS,
}


def _operators(family: str, kind: type) -> list[Operator]:
    return [Operator(case, kind, seed) for seed, case in enumerate(FAMILIES[family])]


def agree(operators: list[Operator], found: dict[str, Any]) -> None:
    """What was found equals what NumPy says, and saturates here and there."""
    for operator in operators:
        expected = operator.expected()
        share = np.mean((expected == expected.min()) | (expected == expected.max()))
        assert 0.0 < share < 1.0
        np.testing.assert_array_equal(found[f"{operator.name}q"], expected, str(operator.case))


AVX_VNNI = str(Path(__file__).with_name("x86-64-v3-vnni.toml"))


def native_boards() -> list[str]:
    """This machine as it is, and the x86 levels that it runs: they differ in their dot products."""
    here = load_target("host").cpu
    boards = ("x86-64-v3", "x86-64-v4", AVX_VNNI)
    levels = [board for board in boards if set(load_target(board).cpu.features) <= set(here.features)]
    return ["host", *(levels if here.arch == "x86_64" else [])]


def matrix(boards: list[str], usual: dict[str, type]) -> list[Any]:
    """Boards by kinds of activation; a board's usual kind is tested always, the other where time allows."""
    made = []
    for board in boards:
        for kind in (np.uint8, np.int8):
            marks = [] if usual.get(board) is kind else [pytest.mark.slow]
            made.append(pytest.param(board, kind, id=f"{Path(board).stem}-{kind.__name__}", marks=marks))
    return made


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("board", "kind"), matrix(native_boards(), {"host": np.uint8, "x86-64-v3": np.uint8})
)
def test_kernels_equal_numpy(board: str, family: str, kind: type, tmp_path: Path) -> None:
    operators = _operators(family, kind)
    _, native = compiled(beside(operators), tmp_path, board)
    agree(operators, native.run({f"{o.name}x": o.input for o in operators}))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("board", native_boards(), ids=lambda board: Path(board).stem)
def test_sums_are_exact_at_the_ends_of_every_range(board: str, family: str, tmp_path: Path) -> None:
    # Weights of seven bits take other instructions than those of eight, where products are added in 16.
    ends = ((-64, 64), (-63, 63), (-127, 127), (-128, 127))
    operators = [
        Operator(replace(case, lowest=low, highest=high, extreme=True, low=None), kind, seed)
        for seed, (case, (low, high), kind) in enumerate(
            zip(FAMILIES[family], cycle(ends), cycle((np.uint8, np.int8, np.uint8)), strict=False)
        )
    ]
    _, native = compiled(beside(operators), tmp_path, board)
    agree(operators, native.run({f"{o.name}x": o.input for o in operators}))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("board", "kind"), matrix(["rpi4", "rpi5"], {"rpi4": np.uint8, "rpi5": np.int8}))
def test_kernels_equal_numpy_on_an_emulated_board(
    board: str, family: str, kind: type, tmp_path: Path
) -> None:
    operators = _operators(family, kind)
    target = load_target(board)
    made = compile_graph(beside(operators), target, tmp_path)
    shared = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert shared is not None
    given = {f"{o.name}x": o.input for o in operators}
    result = emulate_library(
        shared.read_bytes(), made.weights.read_bytes(), [given[spec.name] for spec in made.inputs], target
    )
    names = [spec.name for spec in made.outputs]
    agree(operators, dict(zip(names, result.outputs, strict=True)))


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize(
    "case",
    [Case(3, 17, (9, 19), 3, 2, 1), Case(1, 8, (5, 16), 5, 1, 2), Case(4, 5, (4, 37), 3, 1, 0, zero=9),
     Case(3, 8, (6, 5), 3, 1, 1)],
)  # fmt: skip
def test_an_image_is_quantised_where_it_is_read(case: Case, kind: type, tmp_path: Path) -> None:
    operator = Operator(case, kind, 0)
    rng, info = np.random.default_rng(1), np.iinfo(kind)
    image = np.asarray(rng.normal(0, 2, operator.input.shape), np.float32)
    image[0, 0, 0, :4] = np.array([5e10, -5e10, 0.5, 1.5], np.float32) * operator.scale_in
    steps = np.rint(image / operator.scale_in) + int(operator.zero_in)
    operator.input = np.asarray(np.clip(steps, info.min, info.max), kind)
    model = beside([operator])
    name, graph = operator.name, model.graph
    graph.node.insert(
        0, helper.make_node("QuantizeLinear", ["image", f"{name}si", f"{name}zi"], [f"{name}x"])
    )
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape))
    kernels, native = compiled(model, tmp_path)
    agree([operator], native.run({"image": image}))
    assert (kernels.layers[0].kernel == "planes") == (case.space[1] >= 16)


def test_every_number_of_threads_gives_the_same_bytes(tmp_path: Path) -> None:
    operators = _operators("windows", np.uint8)
    kernels, _ = compiled(beside(operators), tmp_path)
    from edgepress.runtimes.native import NativeModel

    library = next(path for path in (tmp_path / "lib").glob("lib*") if path.suffix != ".a")
    for threads in (2, 5):
        native = NativeModel(library, kernels.weights.read_bytes(), threads=threads)
        agree(operators, native.run({f"{o.name}x": o.input for o in operators}))


def test_multiply_accumulates_are_those_of_the_network_not_of_its_padding(tmp_path: Path) -> None:
    operators = [Operator(Case(3, 17, (5, 5), 3, 1, 1), np.uint8, 0), Operator(Case(5, 7, ()), np.uint8, 1)]
    made = compile_graph(beside(operators), load_target("rpi5"), tmp_path)
    assert made.macs == 2 * 25 * 17 * 27 + 2 * 35


def test_weights_are_packed_in_depths() -> None:
    weight = np.arange(2 * 5, dtype=np.int8).reshape(2, 5)
    packing = packing_of(machine_of(load_target("rpi5")), weight, 16)
    packed = pack(weight, packing)
    assert packed.shape == (1, 2, 16, 4)
    assert packed[0, 0, 1].tolist() == [5, 6, 7, 8]
    assert packed[0, 1, 1].tolist() == [9, 0, 0, 0]
    assert not packed[0, :, 2:].any()


def test_depthwise_weights_come_once_for_each_phase() -> None:
    weight = np.arange(1, 1 + 3 * 3 * 20, dtype=np.uint8).astype(np.int8).reshape(3, 3, 20)
    packed = pack_depthwise(weight, 4)
    assert packed.shape == (2, 3, 2, 4, 1, 4, 4)
    assert packed[0, 1, 0, 2, 0, 1].tolist() == [*weight[1, :, 9].tolist(), 0]
    assert packed[1, 2, 1, 0, 0, 3].tolist() == [0, *weight[2, :, 19].tolist()]
    assert not packed[1, :, :, 1:].any()


def test_where_padding_is_zero_depthwise_weights_end_with_a_blank_row_and_narrow_blocks_repeat() -> None:
    weight = np.arange(3 * 3 * 80).astype(np.int8).reshape(3, 3, 80)
    packed = pack_depthwise(weight, 16)
    made = with_blank_row(packed, 80)
    assert made.shape == (2, 4, 2, 4, 4, 4, 4)
    assert not made[:, 3].any()
    np.testing.assert_array_equal(made[0, :3], packed[0])
    for run in range(4):
        np.testing.assert_array_equal(made[1, :3, ..., run, :, :], packed[1, ..., 0, :, :])
    order = channel_order(np.arange(80, dtype=np.int32), 16)
    assert order[0, 1, 2].tolist() == [36, 37, 38, 39]
    assert order[1, 2].tolist() == [[72, 73, 74, 75]] * 4


def test_pairs_of_products_are_added_in_sixteen_bits_where_weights_allow_it() -> None:
    machine = machine_of(load_target("x86-64-v3"))
    chosen = {
        (64, 64, -64): "vpmaddubsw", (-64, -64, 127): "vpmaddubsw", (-128, 127, 1): "vpmaddubsw",
        (127, 1, 0): "vpmaddubsw", (127, 2, 0): "vpmaddwd", (-128, -1, 5): "vpmaddwd", (0, 65, 64): "vpmaddubsw",
    }  # fmt: skip
    for weights, instruction in chosen.items():
        array = np.array([weights, (0, 0, 0)], np.int8)
        assert packing_of(machine, array, 16).dot == instruction, weights
        windowed = np.stack([np.zeros_like(array), array], -1)  # pairs are of inputs, not of taps
        assert packing_of(machine, windowed, 16).dot == instruction, weights
        sums = (
            255 * np.maximum(array[0, :2].astype(int), 0).sum(),
            255 * np.minimum(array[0, :2].astype(int), 0).sum(),
        )
        assert (sums[0] <= 32767 and sums[1] >= -32768) == (instruction == "vpmaddubsw")


def test_a_weight_that_would_overflow_sixteen_bits_is_packed_plainly() -> None:
    machine = machine_of(load_target("rpi4"))
    assert packing_of(machine, np.array([[-127]], np.int8), 16).depth == 2
    assert packing_of(machine, np.array([[-128]], np.int8), 16).depth == 1
