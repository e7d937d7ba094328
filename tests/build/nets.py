"""Small networks that tests press: a picture classifier, a waveform net, a two-input net, a byte reader."""

from __future__ import annotations

import torch
from torch import nn


class SmallCnn(nn.Module):
    """A residual picture classifier of ten classes, a few thousand parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.left = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.right = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(image))
        x = x + self.right(torch.relu(self.left(x)))
        result: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return result


def small_cnn() -> nn.Module:
    return SmallCnn()


class Waveform(nn.Module):
    """A one-dimensional net on 800 samples."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 8, 9, stride=4, padding=4)
        self.second = nn.Conv1d(8, 8, 5, stride=4, padding=2)
        self.last = nn.Linear(8, 3)

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.second(torch.relu(self.first(sound))))
        result: torch.Tensor = self.last(x.mean(dim=2))
        return result


class TwoInputs(nn.Module):
    """Joins two vectors; gives two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(12, 4)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        joined = torch.cat([left, right], dim=1)
        return self.mix(joined), joined.sum(dim=1)


class Bytes(nn.Module):
    """Scores a text of 32 bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(256, 8)
        self.last = nn.Linear(8, 2)

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.table(text).mean(dim=1))
        return result


class Unspeakable(nn.Module):
    """Holds an operation that has no ONNX form."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = torch.linalg.eigvals(x).real
        return result


not_a_net = 3


def broken() -> nn.Module:
    raise RuntimeError("no weights here")
