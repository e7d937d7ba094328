"""Small networks of the kinds people ship, exported by torch; odd outputs among them."""

from __future__ import annotations

from typing import Any

import onnx
import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 24, 7, 2, 3), nn.BatchNorm2d(24)
        self.same, self.same_norm = nn.Conv2d(24, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24)
        self.down, self.skip = nn.Conv2d(24, 40, 3, 2, 1), nn.Conv2d(24, 40, 1, 2)
        self.grouped, self.head = nn.Conv2d(40, 40, 3, 1, 1, groups=4), nn.Linear(40, 11)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.norm(self.stem(x))), 3, 2, 1)
        x = functional.relu(self.same_norm(self.same(x))) + x
        x = functional.relu(self.down(x) + self.skip(x))
        x = functional.avg_pool2d(functional.relu(self.grouped(x)), 2, 2, ceil_mode=True)
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


class Transformer(nn.Module):
    def __init__(self, width: int = 48, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.words = heads, nn.Embedding(50, width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.triple, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.words(tokens)
        batch, length, width = x.shape
        split = self.triple(self.before(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        weights = functional.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, width))
        x = x + self.down(functional.gelu(self.up(self.after(x))))
        return x, x.mean(1)


def sound() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, 16, 80, 4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(4),
        nn.Conv1d(16, 32, 3, padding=2, dilation=2), nn.GELU(), nn.Conv1d(32, 32, 5, groups=32, padding=2),
        nn.SiLU(), nn.Conv1d(32, 10, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.LogSoftmax(-1),
    )  # fmt: skip


class Aliases(nn.Module):
    """Outputs that are an input, a weight, a view; int64 and bool tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        turned = torch.where(i > 1, x, -x)
        return x, self.weight, x.reshape(3, 2), i + 1, (i * 2).float() + x, turned > 0, turned.reshape(6)


class Choices(nn.Module):
    """Arg-max, scatter, gather, resizing: what is compiled whole."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a, b = x.chunk(2, 1)
        places = torch.tensor([[4, 0, 7, 2, 11]])
        return (
            torch.argmax(b, 1), torch.scatter(a.flatten(1), 1, places, b.flatten(1)[:, :5]),
            functional.interpolate(x, scale_factor=2, mode="nearest"),
            functional.interpolate(x, scale_factor=2, mode="bilinear"),
            torch.gather(b.flatten(1), 1, places), functional.pixel_shuffle(x, 2),
        )  # fmt: skip


def small_mobile() -> nn.Module:
    """An inverted residual's worth of layers, as MobileNetV2 and EfficientNet-Lite have them."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU6(), nn.Conv2d(16, 96, 1), nn.ReLU6(),
        nn.Conv2d(96, 96, 3, 2, 1, groups=96), nn.ReLU6(), nn.Conv2d(96, 24, 1),
        nn.Conv2d(24, 144, 1), nn.ReLU6(), nn.Conv2d(144, 144, 5, 1, 2, groups=144), nn.ReLU6(),
        nn.Conv2d(144, 24, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip


def exported(network: nn.Module, *inputs: Any) -> onnx.ModelProto:
    """The network as ONNX, made by torch's own exporter."""
    program = torch.onnx.export(network.eval(), inputs, dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model
