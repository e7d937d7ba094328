"""Instructions for each weight of ternary dense layers on emulated processors: bounds that hold.

Outputs are compared with NumPy in the same run. Bounds are a few per cent above what a kernel takes; the first
two boards' are what is asked of them with the rows made codes included.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from edgepress.errors import CheckError
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from tests.compilers.dynamic_graphs import Dense, Layer, together
from tests.compilers.quantised_graphs import Case, Operator, beside

VECTOR = Dense((1,), 1024, 768)
FEW, MANY = Dense((8,), 512, 96), Dense((40,), 512, 96)
SMALL = Dense((1,), 248, 96)

# Without and with the rows made codes.
MOST = {
    ("rpi4", VECTOR): (0.235, 0.26),
    ("rpi-zero2w", VECTOR): (0.235, 0.26),
    ("rpi5", VECTOR): (0.152, 0.16),
    ("rpi4", FEW): (0.19, 0.215),
    ("rpi4", MANY): (0.17, 0.195),
    ("rpi5", FEW): (0.088, 0.115),
    ("rpi5", MANY): (0.084, 0.11),
    ("riscv64", SMALL): (1.3, 1.5),
    ("cortex-m7", SMALL): (1.6, 1.8),
}


@functools.cache
def counted(board: str) -> dict[Dense, tuple[float, float]]:
    """For each layer of a board its instructions a multiply-accumulate, without and with its rows made codes."""
    target = load_target(board)
    layers = [Layer(case, seed) for seed, case in enumerate(case for name, case in MOST if name == board)]
    with tempfile.TemporaryDirectory() as folder:
        made = compile_graph(together(layers), target, Path(folder))
        image = target.kind == "microcontroller"
        linked = link([made.model, made.kernels], target, Path(folder) / "lib", executable=image)
        library = linked.image if image else linked.shared
        assert library is not None
        weights = made.weights.read_bytes()
        result = emulate_library(library.read_bytes(), weights, [e.x for e in layers], target, layers=True)
    for layer, found in zip(layers, result.outputs, strict=True):
        np.testing.assert_allclose(found, layer.expected(), rtol=3e-7, atol=3e-7)
    counts = [count for _, count in result.layers]
    products = [i for i, layer in enumerate(made.layers) if layer.macs]
    done = {}
    for layer, at in zip(layers, products, strict=True):
        macs = made.layers[at].macs
        done[layer.case] = counts[at] / macs, (counts[at] + counts[at - 1]) / macs
    return done


@pytest.mark.parametrize(("board", "case"), MOST, ids=lambda value: str(getattr(value, "rows", value)))
def test_a_ternary_layer_takes_few_instructions(board: str, case: Dense) -> None:
    found, most = counted(board)[case], MOST[board, case]
    assert found[0] <= most[0] and found[1] <= most[1], found


@pytest.mark.parametrize(("board", "share"), [("rpi4", 0.75), ("rpi5", 1.05)])
def test_ternary_layers_of_some_rows_beside_those_of_eight_bits(
    board: str, share: float, tmp_path: Path
) -> None:
    """Few rows pay for decoding their weights: up to a twentieth where eight-bit products take least."""
    target = load_target(board)
    cases = [Case(each.inputs, each.outputs, (), batch=each.rows[0]) for each in (FEW, MANY)]
    operators = [Operator(case, np.dtype(target.activations).type, seed) for seed, case in enumerate(cases)]
    made = compile_graph(beside(operators), target, tmp_path)
    library = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert library is not None
    given, weights = [each.input for each in operators], made.weights.read_bytes()
    result = emulate_library(library.read_bytes(), weights, given, target, layers=True)
    eight = [
        count / layer.macs for layer, (_, count) in zip(made.layers, result.layers, strict=True) if layer.macs
    ]
    for case, most in zip((FEW, MANY), eight, strict=True):
        assert counted(board)[case][0] <= most * share, case


def test_code_with_the_dot_product_is_refused_where_there_is_none(tmp_path: Path) -> None:
    layer, target = Layer(Dense((1,), 64, 16), 0), load_target("rpi5")
    made = compile_graph(together([layer]), target, tmp_path)
    library = link([made.model, made.kernels], target, tmp_path / "lib", executable=False).shared
    assert library is not None
    with pytest.raises(CheckError, match=r"rpi4 .* does not have the instruction .*sdot"):
        emulate_library(library.read_bytes(), made.weights.read_bytes(), [layer.x], load_target("rpi4"))
