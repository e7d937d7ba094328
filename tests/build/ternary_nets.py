"""Networks and examples for tests of the method ternary, and those that it must refuse."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgepress.nn import ternarise
from edgepress.tensor import TensorSpec
from edgepress.training.digits import digits as drawn_digits
from edgepress.training.examples import Batch


def small() -> nn.Sequential:
    """Three convolutions and a linear layer for digits of 8×8; the middle ones can become ternary."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def trained() -> nn.Module:
    """As a user's own script leaves a network: layers made ternary, and trained (here for one step)."""
    module = small()
    ternarise(module)
    module.train()
    x, y = digit_pairs()
    optimiser = torch.optim.SGD(module.parameters(), 0.01)
    nn.functional.cross_entropy(module(x[:64]), y[:64]).backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return module


def untrained() -> nn.Module:
    """Ternary layers that have seen nothing."""
    module = small()
    ternarise(module)
    return module


def regressor() -> nn.Module:
    """Two inputs, one number."""
    return TwoInputs()


class TwoInputs(nn.Module):
    """A small perceptron over two vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(8, 40)
        self.middle = nn.Linear(40, 40)
        self.last = nn.Linear(40, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        y: Tensor = self.last(torch.relu(self.middle(torch.relu(self.start(torch.cat([a, b], 1))))))
        return y


class Reader(nn.Module):
    """Scores what follows each of 12 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 32)
        self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.last = nn.Linear(32, 9)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.last(self.layer(self.table(tokens)))
        return scores


def sentences() -> tuple[Tensor, Tensor]:
    """Tokens, and for each the class that follows from it."""
    tokens = torch.randint(0, 9, (400, 12), generator=torch.Generator().manual_seed(4))
    return tokens, (4 * tokens + 2) % 9


def holed() -> nn.Module:
    """A NaN in a layer's weight."""
    module = small()
    with torch.no_grad():
        module.get_parameter("3.weight")[0] = float("nan")
    return module


def empty_layer() -> nn.Module:
    """A layer of zeros."""
    module = small()
    nn.init.zeros_(module.get_parameter("6.weight"))
    return module


def pruned() -> nn.Module:
    """A layer that is mostly zeros."""
    module = small()
    with torch.no_grad():
        module.get_parameter("6.weight")[3:] = 0
    return module


def two_layers() -> nn.Module:
    """Nothing but a first and a last layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class _Choosing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y if float(y.detach().sum()) > 0 else -y


def choosing() -> nn.Module:
    """Control flow that depends on values."""
    return _Choosing()


class _Single(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x).reshape(1, 10)
        return y


def single() -> nn.Module:
    """Takes one example at a time."""
    return _Single()


class _Uncalled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.taken, self.last = nn.Linear(64, 40), nn.Linear(40, 40), nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.first(x.flatten(1)))
        z: Tensor = self.last(torch.relu(nn.functional.linear(y, self.taken.weight)))
        return z


def uncalled() -> nn.Module:
    """Computes with a layer's weight without calling the layer."""
    return _Uncalled()


def digit_pairs() -> tuple[Tensor, Tensor]:
    """Pictures and their classes."""
    x, y = drawn_digits(TensorSpec("x", (1, 1, 8, 8)), 600).take(torch.arange(600))
    return x, y


def pictures_alone() -> Tensor:
    """Pictures without classes."""
    return digit_pairs()[0]


def too_many_classes() -> Batch:
    """Classes from 1 to 10."""
    x, y = digit_pairs()
    return x, y + 1


def of_another_shape() -> Batch:
    """Pictures of 7×7."""
    x, y = digit_pairs()
    return x[:, :, 1:, 1:], y


def nothing() -> list[Batch]:
    """No examples."""
    return []


def pairs_to_meet() -> list[tuple[Tensor, Tensor, float]]:
    """Two vectors and a number that follows from them, as a list of examples."""
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(2, 500, 4, generator=generator)
    return [(p, q, float(p @ q)) for p, q in zip(a, b, strict=True)]


def absolute(outputs: Tensor, wanted: Tensor) -> Tensor:
    """A loss of one's own."""
    return (outputs[:, 0] - wanted).abs().mean()


def not_a_loss(outputs: Tensor, wanted: Tensor) -> Tensor:
    """A loss for each example, where one is wanted."""
    return (outputs[:, 0] - wanted).abs()
