"""Static layers with ternary weights: every kernel against NumPy, bit for bit, and what their weights take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.hardware.emulator.wasm import run_module
from edgepress.runtimes.native import NativeModel
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import AotKernels, compile_graph
from tests.compilers.quantised_graphs import Array, Case, Operator, beside
from tests.compilers.running import compiled
from tests.compilers.test_int8_kernels import AVX_VNNI, agree, native_boards

TERNARY = {"lowest": -1, "highest": 1}
# Inputs that fill no run, sums longer than 16 bits hold, windows of every kind, groups, few and many rows.
CASES = [
    Case(8, 17, (5, 7), **TERNARY), Case(19, 33, (9, 5), 3, 1, 1, **TERNARY), Case(33, 16, (7, 7), 3, 2, 1, **TERNARY),
    Case(48, 40, (6, 9), 3, 1, 2, dilation=2, low=-1.0, **TERNARY), Case(600, 24, (5, 3), **TERNARY),
    Case(1100, 5, (), **TERNARY), Case(70, 35, (), zero=128, **TERNARY), Case(64, 96, (13, 11), 3, 1, 1, **TERNARY),
    Case(24, 32, (23,), 5, 2, 2, **TERNARY), Case(128, 64, (5, 5), 3, 1, 1, 4, **TERNARY),
    Case(256, 32, (4, 4), 3, 1, 1, batch=1, **TERNARY), Case(3, 16, (9, 9), 3, 2, 1, **TERNARY),
    Case(40, 40, (7, 6), 3, 1, 1, 40, **TERNARY),
]  # fmt: skip
SCALAR = [CASES[1], CASES[4], CASES[6], CASES[9]]
BOARDS = {"rpi4": np.uint8, "rpi5": np.int8, "riscv64": np.uint8, "wasm32": np.uint8, "cortex-m7": np.int8}


def operators_of(cases: list[Case], kind: type) -> list[Operator]:
    return [Operator(case, kind, seed) for seed, case in enumerate(cases)]


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("board", native_boards(), ids=lambda board: Path(board).stem)
def test_kernels_equal_numpy(board: str, kind: type, tmp_path: Path) -> None:
    operators = operators_of(CASES, kind)
    _, native = compiled(beside(operators), tmp_path, board)
    agree(operators, native.run({f"{o.name}x": o.input for o in operators}))
