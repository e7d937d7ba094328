"""The networks of the benchmark, in torch: seeded weights, normalised so that eight bits describe them well.

Each layer's sums have a mean near 0 and a variance near 1 on the inputs that it is made for, as trained and
batch-normalised networks have. EfficientNet-Lite0 comes with its trained weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgepress import zoo
from edgepress.tensor import TensorSpec
from tests.benchmarks.peers.inputs import example

_CLASSES = 1000
_ENCODER = {"tokens": 128, "width": 384, "heads": 6, "layers": 6}
_DECODERS = {
    "decoder": {"past": 255, "width": 512, "heads": 8, "layers": 6, "vocabulary": 8192},
    # Its weights, 14 MB in fp32, stay in a large cache.
    "decodersmall": {"past": 255, "width": 256, "heads": 4, "layers": 4, "vocabulary": 2048},
}


@dataclass(frozen=True)
class Network:
    """One network: how to make it, what goes in (in the order of ``forward``) and what comes out."""

    name: str
    module: Callable[[], nn.Module]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]


def network(name: str, size: int = 224, width: float = 1.0) -> Network:
    """A network by its name; ``size`` and ``width`` are MobileNetV2's."""
    image = (TensorSpec("image", (1, 3, 224, 224)),)
    if name == "lite0":
        return Network(name, lambda: zoo.entry("efficientnet-lite0").module(), image, ("scores",))
    if name == "mobilenetv2":
        given = (TensorSpec("image", (1, 3, size, size)),)
        label = name if (size, width) == (224, 1.0) else f"{name}@{size}x{width:g}"
        return Network(label, lambda: _normalised(MobileNetV2(width), given), given, ("scores",))
    if name == "resnet18":
        return Network(name, lambda: _normalised(ResNet18(), image), image, ("scores",))
    if name == "encoder":
        tokens = (TensorSpec("tokens", (_ENCODER["tokens"], _ENCODER["width"])),)
        return Network(name, _seeded(Encoder), tokens, ("encoded",))
    if name in _DECODERS:
        sizes = _DECODERS[name]
        heads, head = sizes["heads"], sizes["width"] // sizes["heads"]
        past = tuple(
            TensorSpec(f"past_{kind}_{layer}", (heads, sizes["past"], head))
            for layer in range(sizes["layers"])
            for kind in ("key", "value")
        )
        made = tuple(spec.name.replace("past", "new") for spec in past)
        token = (TensorSpec("token", (1, sizes["width"])),)
        return Network(name, _seeded(lambda: Decoder(sizes)), token + past, ("logits", *made))
    raise KeyError(name)


NAMES: tuple[str, ...] = ("lite0", "mobilenetv2", "resnet18", "encoder", "decoder")
MORE: tuple[str, ...] = ("decodersmall",)  # measured when asked for


# MobileNetV2 (Sandler and others, 2018).


def _conv(given: int, made: int, size: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(given, made, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(made),
    ]


class Bottleneck(nn.Module):
    """Expand, filter each channel, project; a residual where the shapes allow one."""

    def __init__(self, given: int, made: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = given * expand
        layers = [*_conv(given, wide, 1), nn.ReLU6()] if expand > 1 else []
        layers += [*_conv(wide, wide, 3, stride, wide), nn.ReLU6(), *_conv(wide, made, 1)]
        self.layers, self.residual = nn.Sequential(*layers), stride == 1 and given == made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return x + y if self.residual else y


class MobileNetV2(nn.Sequential):
    """MobileNetV2 for 1000 classes, of any width."""

    def __init__(self, width: float = 1.0) -> None:
        def channels(count: int) -> int:
            rounded = max(8, int(count * width + 4) // 8 * 8)
            return rounded + 8 if rounded < 0.9 * count * width else rounded

        layers: list[nn.Module] = [*_conv(3, channels(32), 3, 2), nn.ReLU6()]
        given = channels(32)
        for expand, count, repeats, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
            (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(repeats):
                layers.append(Bottleneck(given, channels(count), stride if i == 0 else 1, expand))
                given = channels(count)
        last = max(1280, channels(1280))
        layers += [*_conv(given, last, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(*layers, nn.Linear(last, _CLASSES))


# ResNet-18 (He and others, 2015).


class Basic(nn.Module):
    """Two 3×3 convolutions around which the input passes."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(given, made, 3, stride), nn.ReLU(), *_conv(made, made, 3))
        same = stride == 1 and given == made
        self.skip = nn.Identity() if same else nn.Sequential(*_conv(given, made, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.layers(x) + self.skip(x))


class ResNet18(nn.Sequential):
    """ResNet-18 for 1000 classes."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        given = 64
        for made in (64, 128, 256, 512):
            layers += [Basic(given, made, 1 if made == 64 else 2), Basic(made, made, 1)]
            given = made
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, _CLASSES))


# Transformers, layer norm before each half. Tokens are rows, so that each Linear is one matrix product.


class Layer(nn.Module):
    """Attention and a two-layer perceptron, each added to what passes by; keys and values may have a past."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape((*x.shape[:-1], self.heads, self.head)).transpose(-3, -2)

    def forward(
        self, x: torch.Tensor, past: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        y = self.before(x)
        query, key, value = self.split(self.query(y)), self.split(self.key(y)), self.split(self.value(y))
        keys = key if past is None else torch.cat((past[0], key), -2)
        values = value if past is None else torch.cat((past[1], value), -2)
        weights = functional.softmax(query @ keys.transpose(-2, -1) * self.head**-0.5, -1)
        x = x + self.out((weights @ values).transpose(-3, -2).reshape(x.shape))
        return x + self.down(functional.gelu(self.up(self.after(x)))), key, value


class Encoder(nn.Module):
    """Six layers over 128 tokens of width 384; embedding is left to others."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(_ENCODER["width"], _ENCODER["heads"]) for _ in range(_ENCODER["layers"])
        )
        self.last = nn.LayerNorm(_ENCODER["width"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x, _, _ = layer(x)
        result: torch.Tensor = self.last(x)
        return result


class Decoder(nn.Module):
    """One step of a decoder: a token, and each layer's keys and values of those before it."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        super().__init__()
        width = sizes["width"]
        self.layers = nn.ModuleList(Layer(width, sizes["heads"]) for _ in range(sizes["layers"]))
        self.last = nn.LayerNorm(width)
        self.scores = nn.Linear(width, sizes["vocabulary"])

    def forward(self, x: torch.Tensor, *past: torch.Tensor) -> tuple[torch.Tensor, ...]:
        new: list[torch.Tensor] = []
        for i, layer in enumerate(self.layers):
            x, key, value = layer(x, (past[2 * i], past[2 * i + 1]))
            new += [key, value]
        return self.scores(self.last(x)), *new


# Weights.


def _seeded(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """A transformer whose Linear layers keep variance: layer norms do the rest."""

    def module() -> nn.Module:
        torch.manual_seed(0)
        made = make()
        for part in made.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=part.in_features**-0.5)
                nn.init.normal_(part.bias, std=0.1)
        return made.eval()

    return module


def _normalised(module: nn.Module, inputs: tuple[TensorSpec, ...]) -> nn.Module:
    """Random convolutions, each batch norm with the statistics that it sees, so that its output is normal."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if (
                part.groups > 1
            ):  # no sums that cancel: the norm behind would raise what rounding leaves of them
                part.weight.data.abs_()
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, std=0.2)
            part.momentum = 1.0  # what the one batch below shows
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
            nn.init.normal_(part.bias, std=0.1)
    for part in module.modules():
        if isinstance(part, Bottleneck) and part.residual:
            part.layers[-1].get_parameter("weight").data.mul_(
                0.25
            )  # as after training: a block changes what passes a little
    batch = np.concatenate([example(inputs[0], 1000 + i) for i in range(8)])
    with torch.no_grad():
        module.train()(torch.from_numpy(batch))
    return module.eval()
