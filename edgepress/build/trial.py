"""Run what a compiler made: directly where this machine is the target, in emulators where it is not."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgepress.build.reference import run_graph
from edgepress.build.steps import GRAPH
from edgepress.errors import MissingExtraError
from edgepress.progress import Progress
from edgepress.samples import Feed
from edgepress.targets import Target
from edgepress.tensor import TensorSpec


@dataclass(frozen=True)
class Trial:
    """One way of running it.

    Attributes:
        how: what ran it, in words.
        origin: ``measured`` on this machine, or ``emulated``.
        outputs: one mapping for each example that was run.
        instructions: how many an inference takes, where they were counted.
    """

    how: str
    origin: Literal["measured", "emulated"]
    outputs: list[Feed]
    instructions: int | None = None


def try_engine(
    engine: str,
    folder: Path,
    facts: dict[str, Any],
    inputs: Sequence[Feed],
    target: Target,
    outputs: Sequence[TensorSpec],
    progress: Progress,
) -> list[Trial]:
    """Run an engine's files on examples in every way this machine can."""
    if engine == "ort":
        return [Trial("ONNX Runtime here", "measured", run_graph(folder / GRAPH, inputs))]
    library = facts["files"].get("library")
    executable = facts["files"].get("executable")
    trials = []
    if library is not None and target.kind == "host":
        trials.append(_native(folder, library, inputs))
    elif library is not None and target.toolchain.unicorn:
        trials.append(_in_process(folder, library, inputs, target, outputs, progress))
    if executable is not None and target.toolchain.qemu:
        trials += _user_mode(folder, executable, inputs, target, outputs, progress)
    return trials


def _native(folder: Path, library: str, inputs: Sequence[Feed]) -> Trial:
    from edgepress.runtimes.native import NativeModel

    model = NativeModel(folder / library, (folder / "weights.bin").read_bytes())
    return Trial("this machine", "measured", [model.run(feed) for feed in inputs])


def _in_process(
    folder: Path, library: str, inputs: Sequence[Feed], target: Target, outputs: Sequence[TensorSpec], progress: Progress
) -> Trial:
    """The library as it ships, in an emulator inside this process; one example, because it is slow."""
    if importlib.util.find_spec("unicorn") is None:
        raise MissingExtraError(f"checking machine code for {target.name}", "unicorn", "build")
    from edgepress.hardware.emulator.unicorn import emulate_library

    progress(0, 1, "emulating")
    weights = (folder / "weights.bin").read_bytes()
    result = emulate_library((folder / library).read_bytes(), weights, list(inputs[0].values()), target)
    given = {spec.name: array for spec, array in zip(outputs, result.outputs, strict=True)}
    return Trial("unicorn", "emulated", [given], result.instructions)


def _user_mode(
    folder: Path, executable: str, inputs: Sequence[Feed], target: Target, outputs: Sequence[TensorSpec], progress: Progress
) -> list[Trial]:
    """A static executable under QEMU with the board's own processor model, where QEMU is installed."""
    from edgepress.hardware.emulator.qemu import run_static

    progress(0, 1, f"running under {target.toolchain.qemu}")
    weights = (folder / "weights.bin").read_bytes()
    found = run_static(folder / executable, weights, list(inputs[0].values()), outputs, target)
    if found is None:
        return []
    given = {spec.name: array for spec, array in zip(outputs, found, strict=True)}
    return [Trial(f"{target.toolchain.qemu} -cpu {target.toolchain.qemu_cpu}", "emulated", [given])]
