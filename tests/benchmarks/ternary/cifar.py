"""CIFAR-10 as examples to train on, and a small convolutional network for it.

Pictures come from archives with ``jpeg`` (bytes of all pictures), ``offsets`` (where each begins) and
``labels``; the network's input is ``[batch, 3, 32, 32]``, each channel with mean 0 and deviation 1.
"""

from __future__ import annotations

import hashlib
import io
import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from edgepress.training.augment import shifted
from edgepress.training.examples import Batch, Examples, from_tensors

_LEAST_VARIANCE = 0.01  # of a window: weaker directions are not blown up further
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def read_cifar(path: Path, augmented: bool) -> Examples:
    """The pictures and classes of one archive; augmented ones are shifted by up to 4 pixels and mirrored."""
    with np.load(path) as archive:
        data, offsets, labels = archive["jpeg"], archive["offsets"], archive["labels"]
    pictures = np.stack(
        [
            np.asarray(Image.open(io.BytesIO(data[first:last].tobytes())).convert("RGB"))
            for first, last in itertools.pairwise(offsets)
        ]
    )
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    examples = from_tensors(
        x, torch.from_numpy(labels.astype(np.int64)), augment=shifted if augmented else None,
        origin=path.name, digest=f"{digest} {augmented}",
    )  # fmt: skip
    return examples


def normalised(pictures: Tensor) -> Tensor:
    """uint8 ``[batch, 3, height, width]`` as the network takes it."""
    mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
    return (pictures.float() / 255 - mean[:, None, None]) / deviation[:, None, None]


class Network(nn.Module):
    """Eight 3×3 convolutions with two residual pairs, and a linear layer (after Page's ResNet-9 of 2018).

    Args:
        width: channels of the first convolution; 32 gives 1.65 M weights and 66 M multiply-adds.
        shrink: pictures are averaged over squares of so many pixels first.
        scale: class scores are multiplied by it; the smaller, the higher the rates at which it learns well.
    """

    def __init__(self, width: int = 32, shrink: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.shrink, self.scale = shrink, scale
        w = width
        self.start = _block(3, w)
        self.first = nn.Sequential(_block(w, 2 * w), nn.MaxPool2d(2))
        self.pair1 = nn.Sequential(_block(2 * w, 2 * w), _block(2 * w, 2 * w))
        self.second = nn.Sequential(_block(2 * w, 4 * w), nn.MaxPool2d(2))
        self.third = nn.Sequential(_block(4 * w, 8 * w), nn.MaxPool2d(2))
        self.pair2 = nn.Sequential(_block(8 * w, 8 * w), _block(8 * w, 8 * w))
        self.out = nn.Linear(8 * w, 10)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, 3, 32, 32]`` to ``[batch, 10]`` class scores."""
        if self.shrink > 1:
            x = nn.functional.avg_pool2d(x, self.shrink)
        x = self.first(self.start(x))
        x = x + self.pair1(x)
        x = self.third(self.second(x))
        x = x + self.pair2(x)
        scores: Tensor = self.out(x.amax((2, 3)))
        return scores if self.scale == 1.0 else scores * self.scale

    @torch.no_grad()
    def prepare(self, pictures: Tensor) -> None:
        """Begin with filters that whiten 3×3 windows of these pictures, each with its negative, then identities.

        After Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), sections 3.1 and 3.2.

        Args:
            pictures: uint8 ``[batch, 3, height, width]``.
        """
        windows = nn.functional.unfold(normalised(pictures), 3).permute(0, 2, 1).flatten(0, 1)
        values, vectors = torch.linalg.eigh(windows.T @ windows / len(windows))
        filters = (vectors / (values + _LEAST_VARIANCE).sqrt()).T.flip(0).reshape(-1, 3, 3, 3)
        begin = self.start[0]
        assert isinstance(begin, nn.Conv2d)
        first = begin.weight
        half = min(len(first) // 2, len(filters))
        first[: 2 * half] = torch.cat([filters[:half], -filters[:half]])
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.in_channels > 3:
                nn.init.dirac_(layer.weight[: layer.in_channels])


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def loss(module: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy with labels smoothed by a tenth."""
    return nn.functional.cross_entropy(module(normalised(batch[0])), batch[1], label_smoothing=0.1)


def accuracy(module: nn.Module, examples: Examples) -> float:
    """The share of right first choices, from 0 to 1."""
    right = sum(int((module(normalised(x)).argmax(1) == y).sum()) for x, y in examples.in_order(500))
    return right / examples.count
