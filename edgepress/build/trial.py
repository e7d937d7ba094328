"""Run what a compiler made: directly where this machine is the target, in emulators where it is not."""

from __future__ import annotations

import importlib.util
import shutil
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
        layers: how many each layer takes, in their order, where they were counted.
    """

    how: str
    origin: Literal["measured", "emulated"]
    outputs: list[Feed]
    instructions: int | None = None
    layers: tuple[int, ...] = ()


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
    if "image" in facts:
        return _microcontroller(folder, facts, inputs, target, outputs, progress)
    if library is not None and target.kind == "host":
        trials.append(_native(folder, library, inputs))
    elif library is not None and target.kind == "wasm" and _installed("wasmtime"):
        trials.append(_module(folder, library, inputs, outputs, progress))
    elif library is not None and target.toolchain.unicorn:
        trials.append(_in_process(folder, library, inputs, target, outputs, progress))
    if executable is not None and target.toolchain.qemu:
        trials += _user_mode(folder, executable, inputs, target, outputs, progress)
    return trials


def missing(target: Target) -> str:
    """What would run a target's machine code and is not installed, in words; empty where nothing lacks."""
    if target.kind == "wasm" and not _installed("wasmtime"):
        return "wasmtime is not installed (pip install 'edgepress[build]')"
    from_board = target.kind == "microcontroller" and not target.toolchain.unicorn
    if from_board and shutil.which("qemu-system-arm") is None:
        return f"qemu-system-arm, which knows the {target.cpu.model}, is not installed"
    return ""


def runners(target: Target) -> list[str]:
    """The installed programs that run a target's machine code: with others, a check may say more."""
    wanted = {target.toolchain.qemu, "qemu-system-arm" if target.kind == "microcontroller" else ""}
    return sorted(name for name in wanted if name and shutil.which(name))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _native(folder: Path, library: str, inputs: Sequence[Feed]) -> Trial:
    from edgepress.runtimes.native import NativeModel

    model = NativeModel(folder / library, (folder / "weights.bin").read_bytes())
    return Trial("this machine", "measured", [model.run(feed) for feed in inputs])


def _in_process(
    folder: Path,
    library: str,
    inputs: Sequence[Feed],
    target: Target,
    outputs: Sequence[TensorSpec],
    progress: Progress,
) -> Trial:
    """The library as it ships, in an emulator inside this process; one example, because it is slow."""
    if not _installed("unicorn"):
        raise MissingExtraError(f"checking machine code for {target.name}", "unicorn", "build")
    from edgepress.hardware.emulator.unicorn import emulate_library

    progress(0, 1, "emulating")
    weights = (folder / "weights.bin").read_bytes()
    code = (folder / library).read_bytes()
    # With layers, the few instructions that tell of each are counted too: a few in a million.
    result = emulate_library(code, weights, list(inputs[0].values()), target, layers=True)
    given = {spec.name: array for spec, array in zip(outputs, result.outputs, strict=True)}
    counts = tuple(count for _, count in result.layers)
    return Trial("unicorn", "emulated", [given], result.instructions, counts)


def _user_mode(
    folder: Path,
    executable: str,
    inputs: Sequence[Feed],
    target: Target,
    outputs: Sequence[TensorSpec],
    progress: Progress,
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


def _module(
    folder: Path, library: str, inputs: Sequence[Feed], outputs: Sequence[TensorSpec], progress: Progress
) -> Trial:
    """A WebAssembly module as it ships; its fuel is no count of instructions, so it is only told."""
    from edgepress.hardware.emulator.wasm import run_module

    weights = (folder / "weights.bin").read_bytes()
    module = (folder / library).read_bytes()
    runs = []
    for index, feed in enumerate(inputs):
        progress(index, len(inputs), "running under wasmtime")
        runs.append(run_module(module, weights, list(feed.values())))
    given = [{spec.name: array for spec, array in zip(outputs, run.outputs, strict=True)} for run in runs]
    return Trial(f"wasmtime, {runs[0].fuel} units of its fuel an inference", "emulated", given)


def _microcontroller(
    folder: Path,
    facts: dict[str, Any],
    inputs: Sequence[Feed],
    target: Target,
    outputs: Sequence[TensorSpec],
    progress: Progress,
) -> list[Trial]:
    """An image with the code that ships: in this process for the count, on QEMU's board where QEMU is."""
    from edgepress.hardware.emulator.board import board_machine, run_image

    trials = []
    image = facts["image"]
    if target.toolchain.unicorn:
        trials.append(_in_process(folder, image, inputs, target, outputs, progress))
    machine = board_machine(target)
    if machine is not None:
        progress(0, 1, f"running on {machine}")
        weights = (folder / "weights.bin").read_bytes()
        given_inputs = list(inputs[0].values())
        arena = facts["arena_bytes"]
        found = run_image(folder / image, weights, given_inputs, outputs, target, arena_bytes=arena)
        if found is not None:
            given = {spec.name: array for spec, array in zip(outputs, found, strict=True)}
            trials.append(Trial(f"qemu-system-arm -M {machine}", "emulated", [given]))
    return trials
