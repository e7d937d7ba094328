"""Trained networks of CIFAR-10 as a folder of safetensors files, and as models that a build can name.

``EDGEPRESS_KEPT`` names the folder, so that a build finds the weights without arguments.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from edgepress.nn import Ternary, ternarise
from tests.benchmarks.ternary.cifar import Network
from tests.benchmarks.ternary.runs import Run

FOLDER = "EDGEPRESS_KEPT"


def keep(network: nn.Module, run: Run, path: Path) -> None:
    """Write a trained network and the settings of its run."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, {"run": json.dumps(asdict(run))})


def load(path: Path) -> Network:
    """A network that :func:`keep` wrote, in evaluation mode."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["run"])
    run = Run(**{field.name: facts[field.name] for field in fields(Run) if field.name in facts})
    network = Network(run.width, run.shrink, run.scale)
    if run.variant != "float":
        ternarise(network, Ternary(measure=run.variant))  # type: ignore[arg-type]
    network.load_state_dict(load_file(path))
    return network.eval()


def float_network() -> Network:
    """The kept float network."""
    return load(Path(os.environ[FOLDER]) / "float.safetensors")


def ternary_network() -> Network:
    """The kept ternary network, whose layers are as they were trained."""
    return load(Path(os.environ[FOLDER]) / "ternary.safetensors")
