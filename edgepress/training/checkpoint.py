"""The state of a run between two steps, as one safetensors file that replaces the one before by a rename.

Tensors are named ``module/NAME``, ``best/NAME``, ``optimiser/INDEX/NAME``, ``random`` and ``device_random``; numbers
are JSON in the file's header. Nothing in it is run when it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgepress.errors import DataError, StorageError
from edgepress.user_code import sentence

FILE = "checkpoint.safetensors"
_FORM = 1


@dataclass
class State:
    """What a run needs to go on exactly.

    Attributes:
        step: how many steps are done.
        identity: what is trained, on what and how; a checkpoint of another run is refused.
        module, optimiser: their tensors, by name.
        best: the module's tensors at the best score so far; empty where nothing was scored.
        facts: JSON-ready: the history so far, the best score, the losses since, the seconds spent.
        random: torch's generator.
        device_random: the accelerator's generator, where one trains.
    """

    step: int
    identity: str
    module: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    best: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    random: Tensor | None = None
    device_random: Tensor | None = None


def write(folder: Path, state: State) -> None:
    """Keep a state in a folder.

    Raises:
        StorageError: it cannot be written; the one before is still there.
    """
    tensors = {
        f"{part}/{name}": value.detach().contiguous().clone()
        for part in ("module", "optimiser", "best")
        for name, value in getattr(state, part).items()
    }
    tensors["random"] = state.random if state.random is not None else torch.get_rng_state()
    if state.device_random is not None:
        tensors["device_random"] = state.device_random
    facts = {"form": _FORM, "step": state.step, "identity": state.identity, "facts": state.facts}
    new = folder / f".{FILE}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, new, {"edgepress": json.dumps(facts)})
        new.replace(folder / FILE)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise StorageError(
            f"the checkpoint cannot be written to {folder} ({error}); free space or give another folder"
        ) from None


def read(folder: Path, identity: str) -> State | None:
    """The state kept in a folder; None where there is none.

    Raises:
        DataError: the file is damaged, or belongs to another run.
    """
    path = folder / FILE
    if not path.exists():
        return None
    again = f"remove {path} to begin again"
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["edgepress"])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        form, step, other = facts["form"], int(facts["step"]), facts["identity"]
        more = dict(facts["facts"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({sentence(error)}); {again}") from None
    if form != _FORM or other != identity:
        raise DataError(f"{path} is of another run (other data, network, options or seed); {again}")

    def part(name: str) -> dict[str, Tensor]:
        return {key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(name + "/")}

    return State(
        step, identity, part("module"), part("optimiser"), part("best"), more, tensors.get("random"),
        tensors.get("device_random"),
    )  # fmt: skip


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments and counters, each by the number of its parameter."""
    found: dict[str, Tensor] = {}
    for number, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                found[f"{number}/{name}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return found


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the moments and counters that :func:`optimiser_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    whole = optimiser.state_dict()
    optimiser.load_state_dict({**whole, "state": state})
