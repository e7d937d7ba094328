"""Factorised convolutions, norms by position and powers in the CPU engine, against torch and NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from edgepress.exporters.torch_onnx import export_module
from edgepress.nn.codec.convolution import FactorisedConvolution, PositionNorm
from edgepress.tensor import TensorSpec
from tests.compilers.test_rows_and_tables import BOARDS, _run

CHANNELS = 288  # 8 groups of 36, no multiple of any vector; dealt as 18 × 16


class _Block(nn.Module):
    """What stands behind a norm differs: GELU by tanh, another reader, nothing."""

    def __init__(self, behind: str) -> None:
        super().__init__()
        self.behind = behind
        self.convolution = FactorisedConvolution(2, CHANNELS, CHANNELS)
        self.norm = PositionNorm(CHANNELS)
        nn.init.normal_(self.norm.weight)
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.convolution(x))
        if self.behind == "gelu":
            return nn.functional.gelu(y, approximate="tanh")
        return y + torch.sigmoid(y) if self.behind == "more" else y


@pytest.mark.parametrize(
    ("behind", "board"), [*(("gelu", board) for board in BOARDS), ("more", "rpi4"), ("", "host")]
)
def test_a_factorised_block_is_three_kernels(board: str, behind: str, tmp_path: Path) -> None:
    """Channels are not moved between the two convolutions, and a norm is one kernel, its GELU in it."""
    torch.manual_seed(0)
    block = _Block(behind)
    x = torch.randn(1, CHANNELS, 3, 5) * 3
    graph = export_module(block, [TensorSpec("x", tuple(x.shape))], max_opset=18, max_ir=10, cases=1).model
    with torch.no_grad():
        expected = block(x).numpy()
    found, kernels = _run(graph, {"x": x.numpy()}, board, tmp_path)
    np.testing.assert_allclose(found["output"], expected, atol=3e-5)
    assert [name for name in kernels if name in ("tile", "layer_norm")] == ["tile", "tile", "layer_norm"]
    assert len(kernels) <= 5 + (behind == "more")  # and the layouts of what goes in and out


def test_channels_that_are_dealt_for_others_too_are_moved(tmp_path: Path) -> None:
    """Where something else reads what was dealt, it is there to be read."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Conv2d(96, 96, 1, groups=4)

        def forward(self, x: Tensor) -> Tensor:
            y = x.reshape(1, 24, 4, 3, 5).transpose(1, 2).reshape(1, 96, 3, 5)
            moved: Tensor = self.second(y) + y
            return moved

    torch.manual_seed(0)
    module, x = Both(), torch.randn(1, 96, 3, 5)
    graph = export_module(module, [TensorSpec("x", tuple(x.shape))], max_opset=18, max_ir=10, cases=1).model
    found, _ = _run(graph, {"x": x.numpy()}, "host", tmp_path)
    with torch.no_grad():
        np.testing.assert_allclose(found["output"], module(x).numpy(), atol=1e-5)


@pytest.mark.parametrize("board", ["host", "rpi4"])
def test_powers(board: str, tmp_path: Path) -> None:
    """Fractions and whole numbers, of numbers large and small, of 0, of infinity, of negative ones."""
    special = [0.0, np.inf, np.nan, -1.5, 1.0, 1.2e-38]
    x = np.concatenate([np.linspace(0, 5, 701), 10.0 ** np.linspace(-37, 38, 301), special]).astype(
        np.float32
    )
    exponents = (0.4, 0.5, -0.7, 1.5, 2.0, 3.0)
    nodes = [helper.make_node("Pow", ["x", f"e{i}"], [f"y{i}"]) for i in range(len(exponents))]
    constants = [numpy_helper.from_array(np.array(e, np.float32), f"e{i}") for i, e in enumerate(exponents)]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [len(x)])
        for n in ("x", *(o.output[0] for o in nodes))
    ]
    graph = helper.make_graph(nodes, "powers", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    found, _ = _run(model, {"x": x}, board, tmp_path)
    with np.errstate(all="ignore"):
        for i, exponent in enumerate(exponents):
            exact = x.astype(np.float64) ** np.float64(np.float32(exponent))
            expected = exact.astype(np.float32)
            normal = np.isfinite(expected) & (np.abs(exact) > 2.5e-38)
            np.testing.assert_allclose(found[f"y{i}"][normal], exact[normal], rtol=1.2e-5)
            near = normal & (x > 0.01) & (x < 100)
            np.testing.assert_allclose(found[f"y{i}"][near], exact[near], rtol=1e-6)
            np.testing.assert_array_equal(found[f"y{i}"][-6:-1], expected[-6:-1])


FILTERS = [  # channels first, the filtered axis, taps, stride
    ((1, 3, 23, 17), 2, 9, 2),
    ((1, 12, 9, 31), 3, 9, 2),
    ((2, 5, 40, 8), 2, 4, 1),
    ((1, 7, 8, 40), 3, 5, 3),
    ((1, 6, 29), 2, 9, 2),
]


@pytest.mark.parametrize("board", BOARDS)
def test_a_pair_of_filters_is_one_kernel_of_whole_vectors(board: str, tmp_path: Path) -> None:
    """Runs that are no multiple of a vector, tiles that do not come out even; also where a filter's tap is 0."""
    rng = np.random.default_rng(0)
    nodes, given, expected, constants, infos = [], {}, {}, [], []
    for i, (shape, axis, length, stride) in enumerate(FILTERS):
        taps = rng.standard_normal((2, length)).astype(np.float32)
        taps[1, :2] = 0
        window = [length if place == axis else 1 for place in range(2, len(shape))]
        strides = [stride if place == axis else 1 for place in range(2, len(shape))]
        weight = np.tile(taps.reshape(2, 1, *window), (shape[1], *(1,) * (len(shape) - 1)))
        x = rng.standard_normal(shape).astype(np.float32)
        slid = np.moveaxis(np.lib.stride_tricks.sliding_window_view(x, length, axis), axis, -2)[
            ..., ::stride, :
        ]
        both = np.moveaxis(np.einsum("...t,bt->...b", slid.astype(np.float64), taps), -2, axis)  # bands last
        wanted = np.moveaxis(both, -1, 2).reshape(shape[0], 2 * shape[1], *both.shape[2:-1])
        given[f"x{i}"], expected[f"y{i}"] = x, wanted
        constants.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"y{i}"], group=shape[1], strides=strides))
        infos.append((helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, shape),
                      helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, wanted.shape)))  # fmt: skip
    graph = helper.make_graph(nodes, "filters", [a for a, _ in infos], [b for _, b in infos], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    found, kernels = _run(model, given, board, tmp_path)
    assert kernels.count("filter") == len(FILTERS)
    for name, wanted in expected.items():
        np.testing.assert_allclose(found[name], wanted, atol=2e-5, err_msg=name)


def test_filters_that_differ_by_channel_are_left_to_depthwise_kernels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight, x = (
        rng.standard_normal((12, 1, 3, 1)).astype(np.float32),
        rng.standard_normal((1, 6, 9, 8)).astype(np.float32),
    )
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=6)
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 12, 7, 8))]  # fmt: skip
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    found, kernels = _run(model, {"x": x}, "host", tmp_path)
    expected = sum(
        np.repeat(x, 2, 1)[:, :, t : t + 7] * weight[:, 0, t, 0].reshape(1, 12, 1, 1) for t in range(3)
    )
    np.testing.assert_allclose(found["y"], expected, atol=1e-5)
    assert "filter" not in kernels


@pytest.mark.parametrize("board", ["host", "rpi4"])
@pytest.mark.parametrize(("channels", "shown"), [(1, False), (3, False), (3, True)])
def test_a_level_of_a_wavelet_packet(channels: int, shown: bool, board: str, tmp_path: Path) -> None:
    """First across, then down; with few channels in the other order, unless what lies between is asked for."""
    torch.manual_seed(0)
    taps = torch.randn(2, 9)

    class Level(nn.Module):
        across: Tensor
        down: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("across", taps.repeat(channels, 1).reshape(-1, 1, 1, 9))
            self.register_buffer("down", taps.repeat(2 * channels, 1).reshape(-1, 1, 9, 1))

        def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            rows = nn.functional.conv2d(x, self.across, stride=(1, 2), groups=channels)
            both = nn.functional.conv2d(rows, self.down, stride=(2, 1), groups=2 * channels)
            return (both, rows) if shown else both

    module, x = Level(), torch.randn(1, channels, 29, 31)
    graph = export_module(module, [TensorSpec("x", tuple(x.shape))], max_opset=18, max_ir=10, cases=1).model
    with torch.no_grad():
        made = module(x)
    expected = made if isinstance(made, tuple) else (made,)
    found, kernels = _run(graph, {"x": x.numpy()}, board, tmp_path)
    for given, wanted in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(given, wanted.numpy(), atol=1e-4)
    assert kernels.count("filter") == (2 if channels == 3 and not shown else 1)
