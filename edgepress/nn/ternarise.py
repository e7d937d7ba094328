"""Which layers of a network become ternary: all that can, but the first, the last, the named and the small."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgepress.errors import SourceError, UsageError
from edgepress.nn.ternary_layers import TernaryConv1d, TernaryConv2d, TernaryLinear, TernaryOutput, like
from edgepress.nn.ternary_weight import Ternary

SMALLEST = 1024  # weights below which a layer's scales and activations outweigh what it saves


@dataclass(frozen=True)
class Kept:
    """A layer that stays as it is, and why."""

    name: str
    why: str


def ternarise(
    module: nn.Module,
    how: Ternary | None = None,
    *,
    skip_first: bool = True,
    skip_last: bool = True,
    skip: Sequence[str] = (),
    smallest: int = SMALLEST,
) -> tuple[Kept, ...]:
    """Replace linear and convolutional layers by ternary ones that share their parameters, in place.

    Args:
        module: a network; its layers are taken in the order in which it lists them.
        how: the same for every layer.
        skip_first, skip_last: leave the first and the last of these layers as they are.
        skip: shell patterns of names of layers to leave, such as ``encoder.0.*``.
        smallest: layers of fewer weights are left.

    Returns:
        The layers left, each with the reason; they can still be quantised to eight bits.

    Raises:
        SourceError: a weight is NaN, infinite or all zero, more than half of it is zero and its median is the
            measure, or no layer can be replaced.
        UsageError: a pattern of ``skip`` fits no layer.
    """
    how = how or Ternary()
    layers = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
        and not isinstance(layer, TernaryLinear | TernaryConv1d | TernaryConv2d)
    ]
    for pattern in skip:
        if not any(fnmatch.fnmatchcase(name, pattern) for name, _ in layers):
            raise UsageError(f"no layer to leave is called {pattern!r}; use names that named_modules() lists")
    uncalled = {id(m.out_proj) for m in module.modules() if isinstance(m, nn.MultiheadAttention)}
    embeddings = {id(m.weight): m for m in module.modules() if isinstance(m, nn.Embedding)}
    kept: list[Kept] = []
    for place, (name, layer) in enumerate(layers):
        if not bool(torch.isfinite(layer.weight).all()):
            raise SourceError(f"the weight of {name or 'the layer'} holds NaN or infinity; train it again")
        why = ""
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in skip):
            why = "named to be left"
        elif skip_first and place == 0:
            why = "the first layer"
        elif skip_last and place == len(layers) - 1:
            why = "the last layer"
        elif id(layer) in uncalled:
            why = "torch's attention takes its weight without calling it"
        else:
            why = _unfit(layer, smallest)
        if why:
            kept.append(Kept(name, why))
            continue
        _refuse_zeros(name, layer.weight, how)
        parent, _, own = name.rpartition(".")
        if not own:
            raise SourceError("the network is a single layer; put it into a module of yours")
        shared = embeddings.get(id(layer.weight))
        made = TernaryOutput(shared, how) if shared is not None and layer.bias is None else like(layer, how)
        setattr(module.get_submodule(parent), own, made.train(layer.training))
    if len(kept) == len(layers):
        raise SourceError(
            f"no layer of {type(module).__name__} can become ternary"
            + (
                f" ({kept[0].name}: {kept[0].why}); look at skip_first, skip_last, smallest and skip"
                if kept
                else "; it has no linear or convolutional layer"
            )
        )
    _leave_fast_paths(module)
    return tuple(kept)


def _leave_fast_paths(module: nn.Module) -> None:
    """Let torch's encoder layers call the layers in them: in evaluation they would compute with the float weights."""
    for layer in module.modules():
        if isinstance(layer, nn.TransformerEncoderLayer):
            layer.activation_relu_or_gelu = 0  # what its fast path asks for, and nothing else


def _refuse_zeros(name: str, weight: torch.Tensor, how: Ternary) -> None:
    if not bool(weight.any()):
        raise SourceError(
            f"the weight of {name} is all zero, which has no ternary form; train it first, or leave it with skip"
        )
    if how.measure == "median" and int((weight == 0).sum()) * 2 > weight.numel():
        raise SourceError(
            f"more than half of the weight of {name} is zero, so that its median gives no scale; take "
            "measure = 'mean'"
        )


def _unfit(layer: nn.Linear | nn.Conv1d | nn.Conv2d, smallest: int) -> str:
    if layer.weight.numel() < smallest:
        return f"only {layer.weight.numel()} weights"
    if isinstance(layer, nn.Linear):
        return ""
    if layer.groups > 1:
        return f"a convolution in {layer.groups} groups"
    if layer.padding_mode != "zeros":
        return f"it pads by {layer.padding_mode}"
    return "padding by a word" if isinstance(layer.padding, str) else ""
