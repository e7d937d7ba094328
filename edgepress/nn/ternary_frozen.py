"""Trained ternary layers made ready to ship: codes in place of float weights, batch normalisation folded in.

Training computes on codes divided by scales; here the products are whole numbers, and one multiplication
follows. A batch normalisation right after a convolution becomes part of its scales and its bias.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgepress.errors import SourceError
from edgepress.nn import ternary_onnx
from edgepress.nn.activations import ROW_LEVELS, row_scale
from edgepress.nn.ternary_layers import Layer, TernaryConv1d, TernaryConv2d, TernaryLinear
from edgepress.nn.ternary_weight import ternary_codes, weight_scale


class FrozenTernary(nn.Module):
    """A ternary layer that no longer trains.

    Attributes:
        codes: −1, 0 or 1 as int8: ``[inputs, outputs]`` of a linear layer with dynamic activations, else as
            torch has the weight.
        step: float32 ``[outputs]``, what a code of 1 is worth in each output.
        bias: float32 ``[outputs]``, or None; rounded to the sums' steps where activations are static.
        activation_step, activation_zero: of static activations (uint8), or None.
    """

    codes: Tensor
    step: Tensor
    bias: Tensor | None
    activation_step: Tensor | None
    activation_zero: Tensor | None
    padding: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def __init__(
        self, codes: Tensor, step: Tensor, bias: Tensor | None, *, axes: int = 1, norm: bool = False,
        levels: int = ROW_LEVELS, steps: tuple[Tensor, Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Of codes as torch has the weight.

        Args:
            axes: of one row of activations: 1 is a linear layer, 2 and 3 are convolutions.
            norm: whether rows are normalised first.
            levels: what a row's largest magnitude becomes.
            steps: the step and the zero point of static activations; None takes each row's own.
        """
        super().__init__()
        self.dynamic, self.norm, self.axes, self.levels = steps is None, norm, axes, levels
        self.linear = axes == 1
        self.register_buffer("codes", codes.t().contiguous() if self.linear and self.dynamic else codes)
        self.register_buffer("step", step.float())
        self.register_buffer("bias", bias)
        self.register_buffer("activation_step", None if steps is None else steps[0])
        self.register_buffer("activation_zero", None if steps is None else steps[1].to(torch.uint8))

    @classmethod
    def of(cls, layer: Layer) -> FrozenTernary:
        """A trained layer frozen."""
        how, weight = layer.quantiser.how, layer.weight.detach().float()
        scale = weight_scale(weight, how.measure, how.per_channel)
        steps = None if layer.quantiser.range is None else layer.quantiser.range.step_and_zero()
        frozen = cls(
            ternary_codes(weight, scale).to(torch.int8),
            (1 / scale).reshape(-1).expand(len(weight)).clone(),
            None if layer.bias is None else layer.bias.detach().float().clone(),
            axes=layer.quantiser.axes, norm=how.norm, steps=steps,
        )  # fmt: skip
        if isinstance(layer, TernaryConv1d | TernaryConv2d):
            frozen.padding, frozen.stride = _numbers(layer.padding), layer.stride
            frozen.dilation, frozen.groups = layer.dilation, layer.groups
        return frozen.eval()

    def fold(self, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        """Take a batch normalisation that follows into the steps and the bias."""
        assert norm.running_var is not None and norm.running_mean is not None
        gain = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            gain = gain * norm.weight.detach()
        shift = -norm.running_mean if self.bias is None else self.bias - norm.running_mean
        shift = shift * gain if norm.bias is None else shift * gain + norm.bias.detach()
        # A step is positive, as ONNX wants scales: a negative gain turns the codes' signs.
        turned = gain < 0
        shape = [-1, *[1] * (self.codes.dim() - 1)] if not (self.linear and self.dynamic) else [1, -1]
        signs = torch.where(turned, -1, 1).to(torch.int8).reshape(shape)
        self.codes = self.codes * signs
        self.step = (self.step * gain.abs()).clamp(min=torch.finfo(torch.float32).tiny)
        self.bias = shift

    def forward(self, x: Tensor) -> Tensor:
        """As the trained layer computes."""
        if not self.dynamic:
            assert self.activation_step is not None and self.activation_zero is not None
            x = _in_steps(x, self.activation_step, self.activation_zero)
            bias = None if self.bias is None else _rounded_bias(self.bias, self.activation_step * self.step)
            return self._product(x, _dequantised(self.codes, self.step), bias)
        if self.norm:
            x = functional.layer_norm(x, x.shape[-self.axes :])
        scale = row_scale(x, self.axes, self.levels)
        codes = ternary_onnx.row_codes(x, scale)
        place = [-1] if self.linear else [1, -1, *[1] * (self.axes - 1)]
        y = self._sums(codes).to(torch.float32) * (self.step.reshape(place) / scale)
        return y if self.bias is None else y + self.bias.reshape(place)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.linear:
            return functional.linear(x, weight, bias)
        conv = functional.conv1d if self.axes == 2 else functional.conv2d
        return conv(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def _sums(self, codes: Tensor) -> Tensor:
        # Sums of whole numbers below 2**24 are exact as floats, whatever the order.
        centred = codes.to(torch.float32) - ternary_onnx.ROW_ZERO
        if self.linear:
            if torch.onnx.is_in_onnx_export():
                return ternary_onnx.integer_matmul(codes, self.codes)
            return centred @ self.codes.to(torch.float32)
        sums = self._product(centred, self.codes.to(torch.float32), None)
        return (
            ternary_onnx.integer_conv(codes, self.codes, sums.shape, self)
            if torch.onnx.is_in_onnx_export()
            else sums
        )


def _in_steps(x: Tensor, step: Tensor, zero: Tensor) -> Tensor:
    if torch.onnx.is_in_onnx_export():
        return ternary_onnx.quantised(x, step, zero)
    middle = zero.to(torch.float32)
    return (((x / step).round() + middle).clamp(0, 255) - middle) * step


def _dequantised(codes: Tensor, step: Tensor) -> Tensor:
    if torch.onnx.is_in_onnx_export():
        return ternary_onnx.dequantised(codes, step)
    return codes.to(torch.float32) * step.reshape(-1, *[1] * (codes.dim() - 1))


def _rounded_bias(bias: Tensor, step: Tensor) -> Tensor:
    """The bias in whole steps of the sums, as integer engines add it."""
    codes = (bias / step).round().clamp(-(2.0**31), 2.0**31 - 256).to(torch.int32)
    return _dequantised(codes, step)


def _numbers(padding: Any) -> tuple[int, ...]:
    if isinstance(padding, str):
        raise ValueError(f"padding {padding!r} has no ternary form; give numbers")
    return tuple(padding)


def has_ternary(module: nn.Module) -> bool:
    """Whether a network has ternary layers, in training or frozen."""
    return any(isinstance(layer, Layer | FrozenTernary) for layer in module.modules())


def freeze(module: nn.Module) -> nn.Module:
    """A copy of a trained network for export: ternary layers frozen, batch normalisation after them folded.

    A batch normalisation is folded where ``torch.fx`` can trace the network and sees that nothing else reads
    the layer; elsewhere it stays a multiplication of its own.

    Raises:
        SourceError: a layer has a weight that is NaN, infinite or all zero.
    """
    module = copy.deepcopy(module).eval()
    followers = _followers(module)
    for name, layer in list(module.named_modules()):
        if not isinstance(layer, Layer):
            continue
        if not bool(torch.isfinite(layer.weight).all()):
            raise SourceError(f"the weight of {name} holds NaN or infinity; train it again")
        if not bool(layer.weight.any()):
            raise SourceError(f"the weight of {name} is all zero; train it again, or leave it as it was")
        frozen = FrozenTernary.of(layer)
        norm = followers.get(name)
        if norm is not None:
            frozen.fold(module.get_submodule(norm))  # type: ignore[arg-type]
            _replace(module, norm, nn.Identity())
        _replace(module, name, frozen)
    return module


def _replace(module: nn.Module, name: str, by: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, by)


def _followers(module: nn.Module) -> dict[str, str]:
    """Names of layers whose only reader is a batch normalisation, with its name."""

    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, m: nn.Module, name: str) -> bool:
            return isinstance(m, TernaryLinear | TernaryConv1d | TernaryConv2d) or super().is_leaf_module(
                m, name
            )

    try:
        graph = Tracer().trace(module)
    except Exception:  # control flow that depends on values: the user's code may raise anything
        return {}
    calls: dict[Any, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    found = {}
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(node.args[0] if node.args else None, torch.fx.Node):
            continue
        before, norm = node.args[0], module.get_submodule(node.target)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.running_var is not None:
            fits = before.op == "call_module" and len(before.users) == 1
            if fits and calls[before.target] == 1 and calls[node.target] == 1:
                found[before.target] = node.target
    return found
