"""The layers of a network that are ternary, and those that are left, with the reason."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from edgepress.errors import SourceError
from edgepress.methods.ternary.config import TernaryConfig
from edgepress.nn import Kept, ternarise
from edgepress.nn.ternary_frozen import FrozenTernary, has_ternary
from edgepress.nn.ternary_layers import Layer

_PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d)


def made_ternary(module: nn.Module, config: TernaryConfig) -> tuple[nn.Module, tuple[Kept, ...]]:
    """A copy with ternary layers, and the layers left; a network with ternary layers is copied as it is.

    Raises:
        SourceError: it cannot be copied, a weight is NaN or all zero, no layer can become ternary, or there is
            nothing to train and no layer is ternary.
        UsageError: a pattern of ``skip`` fits no layer.
    """
    network = copied(module)
    if has_ternary(module):
        left = [
            Kept(name, "left by the network's own code")
            for name, layer in network.named_modules()
            if isinstance(layer, _PLAIN) and not isinstance(layer, Layer)
        ]
        return network, tuple(left)
    if not config.trains:
        raise SourceError(
            "steps = 0 takes layers that are ternary already, and the network has none; make them with "
            "edgepress.nn.ternarise in your own training, or give steps"
        )
    kept = ternarise(
        network, config.layers, skip_first=config.skip_first, skip_last=config.skip_last, skip=config.skip,
        smallest=config.smallest,
    )  # fmt: skip
    return network, kept


def copied(module: nn.Module) -> nn.Module:
    """A copy that can be trained: the source's own module stays as it is, and so does what is frozen in part.

    Raises:
        SourceError: torch cannot copy it.
    """
    try:
        made = copy.deepcopy(module)
    except Exception as error:  # the user's attributes may refuse in any way
        raise SourceError(
            f"the network cannot be copied ({type(error).__name__}: {' '.join(str(error).split())[:200]}); keep what "
            "is no tensor out of its attributes"
        ) from None
    if not any(parameter.requires_grad for parameter in made.parameters()):  # as networks for inference come
        for parameter in made.parameters():
            parameter.requires_grad_(True)
    return made


def ternary_facts(frozen: nn.Module, kept: tuple[Kept, ...]) -> dict[str, Any]:
    """How many weights are ternary, how many of those are zero, and which layers are left and why."""
    codes = [layer.codes for layer in frozen.modules() if isinstance(layer, FrozenTernary)]
    count = sum(each.numel() for each in codes)
    zeros = sum(int((each == 0).sum()) for each in codes)
    left = [frozen.get_submodule(each.name) for each in kept]
    return {
        "ternary_layers": len(codes),
        "ternary_weights": count,
        "zero_weights": zeros,
        "other_weights": sum(layer.weight.numel() for layer in left if isinstance(layer, _PLAIN)),
        "left": [{"layer": each.name, "why": each.why} for each in kept],
    }
