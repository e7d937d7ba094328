"""Run a microcontroller's image on a whole emulated board: QEMU's, with Arm's own processors.

For what the emulator inside this process does not know, such as the Helium vectors of the Cortex-M55. What
comes out are results, never times.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.errors import CheckError
from edgepress.hardware.emulator.qemu import read_output
from edgepress.targets.description import Target
from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]

PROGRAM = "qemu-system-arm"
# The board, and the bytes of its RAM from where the image lies, as targets/compilers/image.py has them.
_MACHINES = {"cortex-m7": ("mps2-an500", 16 << 20), "cortex-m55": ("mps3-an547", 256 << 20)}
_SLACK = 128 << 10  # the stack, and what aligning costs
_NO_DEVICES = ("-display", "none", "-monitor", "none", "-serial", "none", "-nic", "none", "-no-reboot")


def board_machine(target: Target) -> str | None:
    """QEMU's board with the target's processor, or None where it has none or QEMU is not installed."""
    machine, _ = _MACHINES.get(target.cpu.model, (None, 0))
    return machine if shutil.which(PROGRAM) else None


def run_image(
    image: Path,
    weights: bytes | memoryview,
    inputs: Sequence[Array],
    outputs: Sequence[TensorSpec],
    target: Target,
    *,
    arena_bytes: int = 0,
    timeout_s: float = 600.0,
) -> tuple[Array, ...] | None:
    """Run an image of :mod:`edgepress.targets.compilers.link` once.

    Args:
        image: ``<name>.elf``, with the start-up code of ``runtimes/c/ep_bare.c``.
        weights: the bytes of ``weights.bin``.
        inputs: one array an input, in the model's order.
        outputs: what the model's outputs look like, in its order.
        target: the microcontroller.
        arena_bytes: the arena's size, for telling whether the board has the memory.
        timeout_s: seconds after which the run is ended as endless.

    Returns:
        The outputs, or None where :func:`board_machine` is, or where the model is too large for that board.

    Raises:
        CheckError: the processor lacks an instruction, the program failed, or did not end.
    """
    machine = board_machine(target)
    if machine is None:
        return None
    tensors = sum(array.nbytes for array in inputs) + sum(spec.bytes for spec in outputs)
    if image.stat().st_size + len(weights) + arena_bytes + tensors + _SLACK > _MACHINES[target.cpu.model][1]:
        return None
    with tempfile.TemporaryDirectory(prefix="edgepress-board-") as name:
        folder = Path(name)
        shutil.copyfile(image, folder / "image.elf")  # under a name without commas, which end QEMU's options
        (folder / "weights.bin").write_bytes(weights)
        for i, array in enumerate(inputs):
            (folder / f"in{i}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
        _run(machine, folder, target, timeout_s)
        return tuple(read_output(folder / f"out{i}.bin", spec) for i, spec in enumerate(outputs))


def _run(machine: str, folder: Path, target: Target, timeout_s: float) -> None:
    command = [PROGRAM, "-M", machine, *_NO_DEVICES, "-semihosting-config", "enable=on,target=native"]
    command += ["-device", "loader,file=image.elf,cpu-num=0"]
    try:
        done = subprocess.run(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=timeout_s, check=False,
        )  # fmt: skip
    except OSError as error:
        raise CheckError(f"{PROGRAM} did not start: {error.strerror}; install it again") from None
    except subprocess.TimeoutExpired:
        raise CheckError(
            f"the code for {target.name} did not end within {timeout_s:.0f} s on QEMU's {machine}; "
            "this is a fault of the compiler, report it with the model"
        ) from None
    if done.returncode != 0:
        said = done.stdout.strip().splitlines()
        reason = said[-1] if said else f"status {done.returncode} and no message"
        raise CheckError(f"the code for {target.name} failed on QEMU's {machine}: {reason}")
