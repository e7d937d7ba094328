"""Ternary weights (1.58 bits) by quantisation-aware training, with distillation from the float network.

::

    module ─► float network ─┬─► teacher ──────────────┐
      (its own weights, or   │                         ├─► train ─► freeze ─► graph of integers
       trained from scratch) └─► ternarise, λ 0 to 1 ──┘

After "BitNet b1.58 Reloaded" (layers) and "Continual Quantization-Aware Pre-Training" (2502.11895): first the float
network, then the ternary one from its weights, does better than ternary from the first step.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from edgepress.errors import SourceError
from edgepress.methods import Method, Part, Pressed, Tensors, Training
from edgepress.methods.ternary.config import TernaryConfig
from edgepress.methods.ternary.layers import made_ternary, ternary_facts
from edgepress.methods.ternary.train import find_device, train
from edgepress.nn.ternary_frozen import freeze
from edgepress.records import encode
from edgepress.training.user_data import own_loss

__all__ = ["METHOD", "TernaryConfig"]


def check(module: nn.Module, config: TernaryConfig) -> bool:
    """Refuse a network that cannot become ternary; whether there is anything to train.

    Raises:
        SourceError: a weight is NaN or all zero, no layer can become ternary, or nothing is to be trained and no
            layer is ternary.
        UsageError: a pattern of ``skip`` fits no layer, or there is no such device.
    """
    made_ternary(module, config)
    if config.trains:
        find_device(config.device)
    return config.trains


def press(module: nn.Module, config: TernaryConfig, tensors: Tensors) -> Pressed:
    """The trained network with integer weights, ready to export."""
    network, kept = made_ternary(module, config)
    try:
        network.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise SourceError(f"the trained weights do not fit ({' '.join(str(error).split())[:200]})") from None
    frozen = freeze(network)
    return Pressed({"main": Part(module=frozen)}, ternary_facts(frozen, kept))


def key(config: TernaryConfig) -> dict[str, Any]:
    """The options that training depends on, and a digest of the user's loss."""
    options = encode(dataclasses.replace(config, rest="int8", onnxruntime="exact"))
    return {"options": options, "loss": own_loss(config.loss)[1] if config.loss else ""}


METHOD = Method(
    "ternary", "weights of -1, 0 and +1, by training on examples", TernaryConfig,
    training=Training(check, train, press, key),
)  # fmt: skip
