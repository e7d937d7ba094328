"""Small networks with ternary layers, exported as a build exports them."""

from __future__ import annotations

import onnx
import torch
from torch import nn

from edgepress.exporters.torch_onnx import export_module
from edgepress.nn import Kept, Ternary, ternarise
from edgepress.nn.ternary_frozen import freeze
from edgepress.tensor import TensorSpec

PICTURE = (1, 3, 12, 12)


class Residual(nn.Module):
    """Two branches that meet, a pooled layer, a depthwise convolution, linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.left, self.norm = nn.Conv2d(16, 24, 3, padding=1, stride=2), nn.BatchNorm2d(24)
        self.deep = nn.Conv2d(24, 24, 3, padding=1)
        self.right = nn.Conv2d(16, 24, 1, stride=2)
        self.wide, self.pool = nn.Conv2d(24, 32, 3, padding=1), nn.MaxPool2d(2)
        self.each = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.dense, self.head = nn.Linear(32 * 9, 40), nn.Linear(40, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        y = self.deep(self.norm(self.left(x)).relu()) + self.right(x)
        y = self.each(self.pool(self.wide(y.relu()).relu())).relu()
        result: torch.Tensor = self.head(self.dense(y.flatten(1)).relu())
        return result


def residual() -> tuple[onnx.ModelProto, dict[str, str]]:
    """Static activations everywhere; the first, the last and the depthwise layer are float."""
    torch.manual_seed(0)
    return exported(Residual(), Ternary(activations="static", norm=False), PICTURE)


def rows() -> tuple[onnx.ModelProto, dict[str, str]]:
    """Dynamic activations in the middle of three linear layers, and a product of two activations."""

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.middle, self.last = nn.Linear(12, 48), nn.Linear(48, 48), nn.Linear(48, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.middle(self.first(x).relu())
            result: torch.Tensor = self.last((0.05 * (y @ y.transpose(1, 2))).softmax(-1) @ y)
            return result

    torch.manual_seed(1)
    return exported(Attending(), Ternary(), (1, 6, 12))


def exported(
    module: nn.Module, how: Ternary, shape: tuple[int, ...], skip_first: bool = True
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A module ternarised, its ranges seen on noise, frozen and exported; with the layers kept, and why."""
    kept: tuple[Kept, ...] = ternarise(module, how, smallest=64, skip_first=skip_first)
    module.train()
    for _ in range(3):
        module(torch.randn(4 * shape[0], *shape[1:]))
    made = export_module(freeze(module), (TensorSpec("x", shape, "float32"),), max_opset=21, max_ir=10)
    return made.model, {layer.name: layer.why for layer in kept}
