"""Copies at the borders of channels-last regions: exact on odd shapes, with and without padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compilers.running import compiled, random_inputs, reference

# batch, channels, height, width
SHAPES = [
    (1, 3, 17, 40),
    (2, 4, 9, 33),
    (1, 2, 5, 16),
    (1, 3, 6, 7),
    (2, 19, 13, 11),
    (1, 5, 3, 3),
    (1, 40, 20, 1),
]
PADS = [(0, 0, 0, 0), (1, 1, 1, 1), (0, 2, 3, 0)]


@pytest.mark.parametrize("pads", PADS, ids=str)
def test_pools_and_what_puts_channels_last(pads: tuple[int, ...], tmp_path: Path) -> None:
    """A pool of 1 × 1 copies: inputs go channels last, outputs channels first again, each number as it was."""
    nodes, inputs, outputs = [], [], []
    for number, shape in enumerate(SHAPES):
        window = [max(pads[d], pads[2 + d]) + 1 for d in range(2)]
        nodes.append(
            helper.make_node("MaxPool", [f"x{number}"], [f"y{number}"], kernel_shape=window, pads=list(pads))
        )
        out = [shape[2 + d] + pads[d] + pads[2 + d] - window[d] + 1 for d in range(2)]
        inputs.append(helper.make_tensor_value_info(f"x{number}", TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, (*shape[:2], *out)))
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    kernels, native = compiled(model, tmp_path, threads=2)
    assert not [layer for layer in kernels.layers if layer.name.endswith("pad")]
    given = random_inputs(kernels.inputs)
    expected = reference(model, given)
    for name, found in native.run(given).items():
        assert np.array_equal(found, expected[name]), name


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_images_are_padded_and_put_channels_last(channels: int, tmp_path: Path) -> None:
    """A convolution that picks one tap of one channel for each output returns the padded image's own numbers."""
    nodes, inputs, outputs, weights = [], [], [], []
    for number, (high, wide, pads) in enumerate(
        [(7, 33, (1, 2, 0, 1)), (5, 16, (0, 0, 1, 1)), (3, 50, (2, 1, 2, 1))]
    ):
        taps = np.zeros((9 * channels, channels, 3, 3), np.float32)
        for place in range(9 * channels):
            taps[place, place % channels, place // channels // 3, place // channels % 3] = 1.0
        weights.append(numpy_helper.from_array(taps, f"w{number}"))
        nodes.append(helper.make_node("Conv", [f"x{number}", f"w{number}"], [f"y{number}"], pads=list(pads)))
        shape = (2, channels, high, wide)
        out = (2, 9 * channels, high + pads[0] + pads[2] - 2, wide + pads[1] + pads[3] - 2)
        inputs.append(helper.make_tensor_value_info(f"x{number}", TensorProto.FLOAT, shape))
        outputs.append(helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, out))
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    kernels, native = compiled(model, tmp_path)
    given = random_inputs(kernels.inputs)
    expected = reference(model, given)
    for name, found in native.run(given).items():
        assert np.array_equal(found, expected[name]), name
