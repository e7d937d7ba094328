"""A small network as an ONNX graph and in torch: a stem, a diamond, a smaller map, a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import nn

from edgepress.graph.tidy import tidy
from tests.graph.graphs import build


def diamond() -> onnx.ModelProto:
    """``x`` [1, 3, 32, 32] → stem → two branches → their sum → a smaller map → scores of ten classes."""
    generator = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) / 8).astype(np.float32)

    pad: dict[str, Any]
    half: dict[str, Any]
    pad, half = {"pads": [1, 1, 1, 1]}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"], "stem", **half),
        helper.make_node("Clip", ["c0", "zero", "six"], ["r0"], "stem_clip"),
        helper.make_node("Conv", ["r0", "w1"], ["left"], "left", **pad),
        helper.make_node("Conv", ["r0", "w2"], ["right"], "right", **pad),
        helper.make_node("Add", ["left", "right"], ["sum"], "sum"),
        helper.make_node("Relu", ["sum"], ["joined"], "joined_relu"),
        helper.make_node("Conv", ["joined", "w3"], ["c3"], "small", **half),
        helper.make_node("Sigmoid", ["c3"], ["gate"], "gate"),
        helper.make_node("Mul", ["c3", "gate"], ["silu"], "silu"),
        helper.make_node("GlobalAveragePool", ["silu"], ["mean"], "mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "w4"], ["y"], "scores"),
    ]
    constants = {
        "w0": weight(8, 3, 3, 3), "w1": weight(8, 8, 3, 3), "w2": weight(8, 8, 3, 3), "w3": weight(16, 8, 3, 3),
        "w4": weight(16, 10), "zero": np.float32(0), "six": np.float32(6),
    }  # fmt: skip
    return tidy(build(nodes, {name: np.asarray(value) for name, value in constants.items()}, (1, 3, 32, 32)))


class Blocks(nn.Module):
    """A stem and residual blocks on pictures of 32 × 32, with one ReLU that serves everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.relu = nn.ReLU()
        self.block = Block()
        self.small = nn.Conv2d(8, 16, 3, 2, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(self.relu(self.stem(x)))
        x = self.relu(self.small(x))
        scores: torch.Tensor = self.head(x.mean((2, 3)))
        return scores


class Block(nn.Module):
    """Two convolutions and a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.relu(x + self.second(torch.relu(self.first(x))))
        return y


def blocks() -> nn.Module:
    """Of the same weights each time."""
    torch.manual_seed(0)
    return Blocks().eval()
