"""How near the kernels of an x86-64 level come to that level's peak on this machine.

    python -m tests.benchmarks.levels [--board x86-64-v3] [--bits 7,8] [--repeats 200]

Layers of EfficientNet-Lite0 and ResNet-18, compiled for the level though the machine may know more; the
peak is measured before and after, by the same level's instructions, in the same process. Every output is
checked first: int8 against NumPy, bit for bit, fp32 against ONNX Runtime.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepress.hardware.hwbench import Peaks, measure_peaks
from edgepress.runtimes.native import NativeModel
from edgepress.targets.compilers.tvm import AotKernels
from tests.compilers.quantised_graphs import Case, Operator, beside
from tests.compilers.running import Arrays, compiled, reference, worst

DENSE = (
    Case(32, 16, (112, 112)), Case(16, 96, (112, 112)), Case(96, 24, (56, 56)), Case(24, 144, (56, 56)),
    Case(144, 40, (28, 28)), Case(40, 240, (28, 28)), Case(80, 480, (14, 14)), Case(480, 80, (14, 14)),
    Case(112, 672, (14, 14)), Case(672, 112, (14, 14)), Case(192, 1152, (7, 7)), Case(1152, 192, (7, 7)),
    Case(320, 1280, (7, 7)), Case(3, 32, (224, 224), 3, 2, 1), Case(64, 64, (56, 56), 3, 1, 1),
    Case(128, 128, (28, 28), 3, 1, 1), Case(256, 256, (14, 14), 3, 1, 1),
)  # fmt: skip
DEPTHWISE = tuple(
    Case(c, c, (size, size), window, stride, window // 2, c)
    for c, size, window, stride in (
        (32, 112, 3, 1), (96, 112, 3, 2), (144, 56, 3, 1), (144, 56, 5, 2), (240, 28, 5, 1), (240, 28, 3, 2),
        (480, 14, 3, 1), (672, 14, 5, 1), (672, 14, 5, 2), (1152, 7, 5, 1), (1152, 7, 3, 1),
    )
)  # fmt: skip
_PRODUCTS = {7: 63, 8: 127}  # bits of a weight, and its largest value


@dataclass(frozen=True)
class Row:
    """One layer: what it is, its multiply-adds, the least and the median of its seconds."""

    name: str
    macs: int
    least: float
    median: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--board", default="x86-64-v3")
    parser.add_argument("--bits", default="7,8", help="of int8 weights")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--no-fp32", action="store_true")
    arguments = parser.parse_args()
    cases = tuple(replace(case, batch=1) for case in (*DENSE, *DEPTHWISE))
    measured: list[tuple[str, tuple[Case, ...], list[Row]]] = []
    peaks = [measure_peaks((1,), board=arguments.board)]
    with tempfile.TemporaryDirectory() as folder:
        for bits in (int(text) for text in arguments.bits.split(",")):
            top = _PRODUCTS[bits]
            some = tuple(replace(case, lowest=-top, highest=top) for case in cases)
            kernels, model, inputs = quantised(some, arguments.board, Path(folder) / str(bits))
            measured.append(
                (f"int8, {bits}-bit weights", some, timed(kernels, model, inputs, arguments.repeats))
            )
        if not arguments.no_fp32:
            kernels, model, inputs = floating(cases, arguments.board, Path(folder) / "fp32")
            measured.append(("fp32", cases, timed(kernels, model, inputs, arguments.repeats)))
    peaks.append(measure_peaks((1,), board=arguments.board))
    for title, those, rows in measured:
        show(title, those, rows, peaks)


def quantised(cases: tuple[Case, ...], board: str, folder: Path) -> tuple[AotKernels, NativeModel, Arrays]:
    """The int8 layers side by side, compiled and found to be exact."""
    folder.mkdir()
    operators = [Operator(case, np.uint8, seed) for seed, case in enumerate(cases)]
    kernels, model = compiled(beside(operators), folder, board)
    inputs = {f"{one.name}x": one.input for one in operators}
    found = model.run(inputs)
    for one in operators:
        np.testing.assert_array_equal(found[f"{one.name}q"], one.expected(), str(one.case))
    return kernels, model, inputs


def floating(cases: tuple[Case, ...], board: str, folder: Path) -> tuple[AotKernels, NativeModel, Arrays]:
    """The same layers in fp32, compiled and compared with ONNX Runtime."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    nodes, constants, given, made, inputs = [], [], [], [], {}
    for i, case in enumerate(cases):
        shape = (case.outputs, case.inputs // case.group, case.window, case.window)
        weight = rng.standard_normal(shape).astype(np.float32) / np.float32(np.prod(shape[1:]) ** 0.5)
        inputs[f"x{i}"] = rng.standard_normal((1, case.inputs, *case.space)).astype(np.float32)
        constants += [
            numpy_helper.from_array(weight, f"w{i}"),
            numpy_helper.from_array(rng.standard_normal(case.outputs).astype(np.float32), f"b{i}"),
        ]
        nodes += [
            helper.make_node("Conv", [f"x{i}", f"w{i}", f"b{i}"], [f"s{i}"], strides=[case.stride] * 2,
                             pads=[case.pad] * 4, group=case.group),
            helper.make_node("Relu", [f"s{i}"], [f"y{i}"]),
        ]  # fmt: skip
        out = [(extent + 2 * case.pad - case.window) // case.stride + 1 for extent in case.space]
        given.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, inputs[f"x{i}"].shape))
        made.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, (1, case.outputs, *out)))
    graph = helper.make_graph(nodes, "layers", given, made, constants)
    graph_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(graph_model)
    kernels, model = compiled(graph_model, folder, board)
    assert worst(model.run(inputs), reference(graph_model, inputs)) < 1e-4
    return kernels, model, inputs


def timed(kernels: AotKernels, model: NativeModel, inputs: Arrays, repeats: int) -> list[Row]:
    """Each layer's time with the padding before it; the transposes around the layers are left out."""
    seconds = model.profile(inputs, repeats + 5)[5:]
    rows, before = [], np.zeros(repeats)
    for layer, column in zip(kernels.layers, seconds.T, strict=True):
        if layer.macs:
            took = before + column
            rows.append(Row(layer.name, layer.macs, float(took.min()), float(np.median(took))))
            before = np.zeros(repeats)
        elif "pad" in layer.name:
            before = before + column
    return rows


def show(title: str, cases: tuple[Case, ...], rows: list[Row], peaks: list[Peaks]) -> None:
    """One precision's table."""
    whole = title == "fp32"
    peak = max(found.at(1).fp32 if whole else found.at(1).int8 for found in peaks) / 2
    how = "multiply-adds" if whole else peaks[0].int8_instruction
    print(f"\n{title}: peak {peak * 1e-9:.1f} G multiply-adds a second ({how})")
    print(f"{'layer':34}{'M':>8}{'us':>10}{'G/s':>9}{'of peak':>9}{'median':>9}")
    for case, row in zip(cases, rows, strict=True):
        kind = "depthwise " if case.group > 1 else ""
        label = (
            f"{kind}{case.window}x{case.window}/{case.stride} {case.inputs}>{case.outputs} at {case.space[0]}"
        )
        rate, usual = row.macs / row.least, row.macs / row.median
        print(f"{label:34}{row.macs * 1e-6:8.1f}{row.least * 1e6:10.1f}{rate * 1e-9:9.1f}"
              f"{rate / peak:9.0%}{usual / peak:9.0%}")  # fmt: skip
    for kind, some in (("dense", False), ("depthwise", True)):
        those = [row for case, row in zip(cases, rows, strict=True) if (case.group > 1) is some]
        rate = sum(row.macs for row in those) / sum(row.least for row in those)
        print(f"{'all ' + kind:34}{'':27}{rate / peak:9.0%}")


if __name__ == "__main__":
    main()
