"""Every board's code is generated; what cannot be compiled is one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgepress.errors import SourceError, UnsupportedOpError
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.tvm.emit import c_text
from edgepress.targets.compilers.tvm.plan import ALIGN, pack_intervals
from tests.compilers.graphs import random_graph
from tests.compilers.running import random_inputs, reference, worst

OBJECT = ["rpi4", "rpi5", "rpi-zero2w", "x86-64-v3", "x86-64-v4", "riscv64", "android-arm64"]
SOURCE = ["cortex-m7", "cortex-m55", "wasm32"]


def _one_node(
    op: str, inputs: list[tuple[str, int, list[Any]]], outputs: int = 1, **attrs: Any
) -> onnx.ModelProto:
    node = helper.make_node(
        op, [name for name, _, _ in inputs], [f"y{i}" for i in range(outputs)], "odd", **attrs
    )
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    results = [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, None) for i in range(outputs)]
    graph = helper.make_graph([node], "g", infos, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("board", OBJECT)
def test_object_code_is_made_for_a_board(board: str, tmp_path: Path) -> None:
    made = compile_graph(random_graph(3), load_target(board), tmp_path)
    assert made.kernels.name == "kernels.o"
    assert made.kernels.read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("board", SOURCE)
def test_c_source_is_made_for_a_board_and_compiles(board: str, tmp_path: Path) -> None:
    target = load_target(board)
    made = compile_graph(random_graph(0), target, tmp_path)
    text = made.kernels.read_text()
    assert "tvm" not in text.lower().replace("made by edgepress", "")
    link([made.model, made.kernels], target, tmp_path / "lib", executable=False)


def test_no_allocation_and_no_runtime_is_called(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    allowed = {
        "memcpy",
        "memset",
        "memmove",
        "expf",
        "erff",
        "tanhf",
        "logf",
        "powf",
        "sqrtf",
        "log1pf",
        "expm1f",
    }
    for seed in (2, 3, 4, 7):
        made = compile_graph(random_graph(seed), load_target("rpi4"), tmp_path)
        with made.kernels.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            missing = {s.name for s in table.iter_symbols() if s["st_shndx"] == "SHN_UNDEF" and s.name}
        assert missing <= allowed


def test_an_operator_without_a_road_is_named(tmp_path: Path) -> None:
    topk = helper.make_model(
        helper.make_graph(
            [helper.make_node("TopK", ["x", "k"], ["v", "i"], "best")], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 9])],
            [helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 2])],
            [helper.make_tensor("k", TensorProto.INT64, [1], [2])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )  # fmt: skip
    with pytest.raises(UnsupportedOpError, match=r"TopK \(from node 'best'\).*ort engine"):
        compile_graph(topk, load_target("rpi4"), tmp_path)
    lstm = _one_node("Det", [("x", TensorProto.FLOAT, [2, 3, 3])])
    with pytest.raises(UnsupportedOpError, match="Det"):
        compile_graph(lstm, load_target("rpi4"), tmp_path)


def test_a_shape_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    model = _one_node("Relu", [("x", TensorProto.FLOAT, ["batch", 3])])
    with pytest.raises(SourceError, match="--input x"):
        compile_graph(model, load_target("rpi4"), tmp_path)
    model = _one_node("NonZero", [("x", TensorProto.FLOAT, [4, 3])])
    with pytest.raises(SourceError):
        compile_graph(model, load_target("rpi4"), tmp_path)


def test_names_from_outside_cannot_leave_their_string() -> None:
    assert c_text('a"b\\c\n??/é') == '"a\\042b\\134c\\012\\077\\077/\\303\\251"'


lives = st.dictionaries(
    st.integers(0, 30),
    st.tuples(st.integers(0, 4000), st.integers(0, 12), st.integers(0, 6)).map(
        lambda t: (t[0], t[1], t[1] + t[2])
    ),
)


@given(lives)
def test_values_alive_together_never_overlap(values: dict[int, tuple[int, int, int]]) -> None:
    offsets, total = pack_intervals(values)
    for number, (size, first, last) in values.items():
        assert offsets[number] % ALIGN == 0
        assert offsets[number] + size <= total
        for other, (size2, first2, last2) in values.items():
            if other != number and first <= last2 and first2 <= last:
                assert offsets[number] + size <= offsets[other] or offsets[other] + size2 <= offsets[number]


def test_the_reference_is_compared_strictly() -> None:
    model = random_graph(1)
    inputs = random_inputs((), 0) | {
        item.name: np.ones([d.dim_value for d in item.type.tensor_type.shape.dim], np.float32)
        for item in model.graph.input
    }
    expected = reference(model, inputs)
    assert worst(expected, expected) == 0.0
    assert worst({k: v + 1 for k, v in expected.items()}, expected) > 1e-4
