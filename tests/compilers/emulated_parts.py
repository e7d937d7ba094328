"""A graph's kernels on an emulated 64-bit Arm processor, each called for one part of its work after another."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx

from edgepress.hardware.emulator.called import Called
from edgepress.targets.compilers import tvm
from edgepress.targets.compilers.tvm.lower import lower
from edgepress.targets.compilers.zig import c_compiler
from edgepress.targets.description import Target


def run_in_parts(
    model: onnx.ModelProto, board: Target, folder: Path, x: np.ndarray, cuts: Sequence[float]
) -> np.ndarray:
    """The only output for the only input; ``cuts`` says where, of 0 to 1, each kernel's work is divided."""
    lowered: list[Any] = []

    def noted(*args: Any) -> Any:
        made = lower(*args)
        lowered.extend([args[0], *made])
        return made

    with mock.patch.object(tvm, "lower", noted):
        made = tvm.compile_graph(model, board, folder)
    program, kernels, _, calls = lowered
    shared = folder / "kernels.so"
    subprocess.run([*c_compiler(board).cc, "-shared", "-nostdlib", "-o", shared, made.kernels], check=True)
    run = Called(shared.read_bytes(), board)
    places = {
        number: run.room(value.bytes)
        if number not in program.constants
        else run.put(np.ascontiguousarray(program.constants[number]).tobytes())
        for number, value in enumerate(program.values)
    }
    places[program.root(program.inputs[0])] = run.put(x.tobytes())
    for call in calls:
        kernel = kernels[call.kernel]
        ends = sorted({0, *(int(kernel.extent * cut) for cut in cuts), kernel.extent})
        for begin, end in pairwise(ends):
            run.call(kernel.symbol, *(places[program.root(number)] for number in call.arguments), begin, end)
    result = program.values[program.root(program.outputs[0])]
    data = run.read(places[program.root(program.outputs[0])], result.bytes)
    return np.frombuffer(data, result.dtype).reshape(result.shape)
