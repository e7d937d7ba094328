"""A network cut in two: both halves together are the whole, and what cannot be cut is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from edgepress.errors import SourceError
from edgepress.nn.student.cut import cut

torch.set_num_threads(1)  # threads cost more than they save on networks this small


class Residual(nn.Module):
    """Two convolutions, and a third beside what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.down = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1), nn.BatchNorm2d(12))
        self.beside = nn.Conv2d(12, 12, 3, 1, 1)
        self.score = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.down(torch.relu(self.stem(x))))
        y = y + self.beside(y)
        scores: Tensor = self.score(y.flatten(2).mean(2).view(x.shape[0], -1))
        return scores


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A small one, with the names that its layers usually have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.layer3 = nn.Sequential(Block(16, 24, 2))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


class Deciding(nn.Module):
    """Does what depends on its values."""

    def forward(self, x: Tensor) -> Tensor:
        return x if bool(x.sum() > 0) else -x


@pytest.fixture
def residual() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.mark.parametrize("layer", ["", "stem", "down", "down.0"])
@pytest.mark.parametrize("count", [1, 3])
def test_both_halves_are_the_whole(residual: nn.Module, layer: str, count: int) -> None:
    x = torch.randn(count, 3, 16, 24)
    halves = cut(residual, x[:1], layer)
    with torch.no_grad():
        features = halves.head(x)
        output, *maps = halves.tail(features)
        assert torch.equal(output, residual(x))
    assert tuple(features.shape[1:]) == halves.features
    assert len(maps) == len(halves.watched)


def test_a_resnet_is_cut_behind_its_layers() -> None:
    torch.manual_seed(0)
    whole, x = ResNet().eval(), torch.randn(2, 3, 64, 64)
    for layer, features, watched in (
        ("layer1", (8, 16, 16), ("layer2", "layer3")),
        ("layer2.1.conv1", (16, 8, 8), ()),
    ):
        if not watched:
            with pytest.raises(SourceError, match=r"the output of layer2\.0"):
                cut(whole, x[:1], layer)
            continue
        halves = cut(whole, x[:1], layer)
        with torch.no_grad():
            assert torch.allclose(halves.tail(halves.head(x))[0], whole(x), atol=1e-6)
        assert (halves.features, halves.watched) == (features, watched)


def test_what_is_watched_is_what_the_layers_give(residual: nn.Module) -> None:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, given, made: seen.update({name: made})

    modules = dict(residual.named_modules())
    for name in ("down", "beside"):
        modules[name].register_forward_hook(keep(name))
    x = torch.randn(2, 3, 16, 16)
    halves = cut(Residual().eval(), x[:1], "stem", ["down", "beside"])
    halves.tail.load_state_dict(
        {name: value for name, value in residual.state_dict().items() if name in halves.tail.state_dict()}
    )
    with torch.no_grad():
        residual(x)
        _, *maps = halves.tail(modules["stem"](x))
    assert torch.equal(maps[0], seen["down"]) and torch.equal(maps[1], seen["beside"])


def test_the_last_map_of_each_size_is_watched(residual: nn.Module) -> None:
    assert cut(residual, torch.zeros(1, 3, 32, 32), "").watched == ("down",)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()).eval()
    assert cut(plain, torch.zeros(1, 3, 32, 32), "").watched == ("1", "3")


def test_the_network_is_left_as_it_is(residual: nn.Module) -> None:
    before = {name: value.clone() for name, value in residual.state_dict().items()}
    halves = cut(residual, torch.zeros(1, 3, 16, 16), "stem")
    with torch.no_grad():
        for parameter in halves.tail.parameters():
            parameter.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in residual.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("beside", "still uses"),
        ("dwon", "did you mean 'down'"),
        ("score", ""),
    ],
)
def test_where_it_cannot_be_cut_is_said(residual: nn.Module, layer: str, said: str) -> None:
    if not said:
        assert cut(residual, torch.zeros(1, 3, 16, 16), layer).features == (5,)
        return
    with pytest.raises(SourceError, match=said):
        cut(residual, torch.zeros(1, 3, 16, 16), layer)


def test_a_layer_before_the_cut_cannot_be_watched(residual: nn.Module) -> None:
    with pytest.raises(SourceError, match="behind the cut"):
        cut(residual, torch.zeros(1, 3, 16, 16), "down", ["stem"])


def test_a_network_that_decides_by_its_values_is_refused_in_one_sentence() -> None:
    with pytest.raises(SourceError, match="cannot be traced") as refused:
        cut(Deciding().eval(), torch.zeros(1, 3, 16, 16), "")
    assert "\n" not in str(refused.value)
