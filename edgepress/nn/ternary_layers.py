"""Layers that train ternary weights: float weights kept, ternary ones computed with, gradients straight through.

After "BitNet b1.58 Reloaded", section 3: ``y = x_q · W_qᵀ / (s_w · s_x) + bias``. The bias is a float and
is not divided by the scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from edgepress.nn.activations import LearnedRange, quantised_rows
from edgepress.nn.ternary_weight import Ternary, ternary_weight


class _Quantiser(nn.Module):
    """What comes before a ternary product: normalised and rounded activations.

    Attributes:
        axes: how many of the last axes are one row.
        dynamic: whether a row's own extremes give its scale.
        phase: λ, from 0 (nothing is quantised) to 1.
    """

    def __init__(self, how: Ternary, axes: int, static: bool) -> None:
        super().__init__()
        self.how = how
        self.axes = axes
        self.dynamic = how.activations == "dynamic" or (how.activations == "auto" and not static)
        self.range = None if self.dynamic else LearnedRange()
        self.phase = 1.0

    def forward(self, x: Tensor) -> Tensor:
        if self.range is not None:
            return self.range(x, self.phase)  # type: ignore[no-any-return]
        if self.how.norm:
            x = functional.layer_norm(x, x.shape[-self.axes :])
        return quantised_rows(x, self.axes, self.phase)

    def weight(self, weight: Tensor) -> Tensor:
        return ternary_weight(weight, self.how, self.phase)

    def extra_repr(self) -> str:
        return f"{self.how.measure}, {'dynamic' if self.dynamic else 'static'} activations"


class TernaryLinear(nn.Linear):
    """``torch.nn.Linear`` with ternary weights and eight-bit activations.

    Args:
        inputs, outputs: features.
        how: measure, scales and activations; each row's own scale unless it says static.

    Shape:
        ``[..., inputs]`` float to ``[..., outputs]``.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True, how: Ternary | None = None) -> None:
        super().__init__(inputs, outputs, bias)
        self.quantiser = _Quantiser(how or Ternary(), 1, static=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return functional.linear(self.quantiser(x), self.quantiser.weight(self.weight), self.bias)


class TernaryOutput(TernaryLinear):
    """The output layer of a language model, whose weight may be an embedding's.

    Args:
        embedding: its weight ``[vocabulary, width]`` is shared: looked up as floats, multiplied by as ternary
            numbers.
    """

    def __init__(self, embedding: nn.Embedding, how: Ternary | None = None) -> None:
        super().__init__(embedding.embedding_dim, embedding.num_embeddings, False, how)
        self.weight = embedding.weight


class TernaryConv1d(nn.Conv1d):
    """``torch.nn.Conv1d`` with ternary weights and eight-bit activations within a learned range.

    Takes what ``Conv1d`` takes, and ``how``. ``[batch, channels, length]`` float; zeros pad.
    """

    def __init__(self, *args: Any, how: Ternary | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self.quantiser = _conv_quantiser(self, how, 2)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y: Tensor = self._conv_forward(self.quantiser(x), self.quantiser.weight(self.weight), self.bias)
        return y


class TernaryConv2d(nn.Conv2d):
    """``torch.nn.Conv2d`` with ternary weights and eight-bit activations within a learned range.

    Takes what ``Conv2d`` takes, and ``how``. ``[batch, channels, height, width]`` float; zeros pad.
    """

    def __init__(self, *args: Any, how: Ternary | None = None, **named: Any) -> None:
        super().__init__(*args, **named)
        self.quantiser = _conv_quantiser(self, how, 3)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y: Tensor = self._conv_forward(self.quantiser(x), self.quantiser.weight(self.weight), self.bias)
        return y


Layer = TernaryLinear | TernaryConv1d | TernaryConv2d


def _conv_quantiser(conv: nn.Conv1d | nn.Conv2d, how: Ternary | None, axes: int) -> _Quantiser:
    if conv.padding_mode != "zeros":
        raise ValueError(f"a ternary convolution pads with zeros, not by {conv.padding_mode!r}")
    return _Quantiser(how or Ternary(), axes, static=True)


def set_phase(module: nn.Module, phase: float) -> None:
    """Set λ in every ternary layer of a module.

    Raises:
        ValueError: ``phase`` is not from 0 to 1.
    """
    if not 0 <= phase <= 1:
        raise ValueError(f"phase {phase} is not from 0 to 1")
    each_layer(module, lambda name, layer: setattr(layer.quantiser, "phase", phase))


def each_layer(module: nn.Module, do: Callable[[str, Layer], object]) -> None:
    """Call ``do`` with the name and the module of every ternary layer."""
    for name, layer in module.named_modules():
        if isinstance(layer, TernaryLinear | TernaryConv1d | TernaryConv2d):
            do(name, layer)


def like(layer: nn.Module, how: Ternary) -> Layer:
    """A ternary layer with the very parameters of a float one.

    Raises:
        TypeError: there is no ternary form of its type.
        ValueError: there is none of its padding.
    """
    if isinstance(layer, nn.Linear):
        made: Layer = TernaryLinear(layer.in_features, layer.out_features, layer.bias is not None, how)
    elif isinstance(layer, nn.Conv1d | nn.Conv2d):
        kind = TernaryConv1d if isinstance(layer, nn.Conv1d) else TernaryConv2d
        made = kind(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation,
            layer.groups, layer.bias is not None, layer.padding_mode, how=how,
        )  # fmt: skip
    else:
        raise TypeError(f"there is no ternary form of {type(layer).__name__}")
    made.weight, made.bias = layer.weight, layer.bias
    made.train(layer.training)
    return made
