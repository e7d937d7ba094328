"""Run a static executable under user-mode qemu with the board's own processor model.

Where the processor lacks an instruction the program dies at once: so a build that does not fit its board
is found without the board. What comes out are results, never times.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.errors import CheckError
from edgepress.hardware.emulator.instructions import describe_instruction
from edgepress.targets.description import Target
from edgepress.tensor import TensorSpec

Array = np.ndarray[Any, Any]

_ELF_NAMES = {"aarch64": "EM_AARCH64", "riscv64": "EM_RISCV", "x86_64": "EM_X86_64"}
_INSTRUCTION = re.compile(r"^0x([0-9a-fA-F]+):\s+((?:[0-9a-fA-F]{2,8} ?)+)", re.MULTILINE)


def run_static(
    executable: Path,
    weights: bytes | memoryview,
    inputs: Sequence[Array],
    outputs: Sequence[TensorSpec],
    target: Target,
    *,
    timeout_s: float = 600.0,
) -> tuple[Array, ...] | None:
    """Run a static executable of :mod:`edgepress.targets.compilers.link` once.

    Args:
        executable: the program, built from ``runtimes/c/ep_main.c``.
        weights: the bytes of ``weights.bin``.
        inputs: one array an input, in the model's order.
        outputs: what the model's outputs look like, in its order.
        target: the board; ``toolchain.qemu`` and ``qemu_cpu`` say how it is emulated.
        timeout_s: seconds after which the run is ended as endless.

    Returns:
        The outputs, or None where nothing was run: the board has no qemu, or it is not installed here.

    Raises:
        CheckError: the program met an instruction that the board lacks, failed, or did not end.
    """
    emulator = available(target)
    if emulator is None:
        return None
    with tempfile.TemporaryDirectory(prefix="edgepress-qemu-") as name:
        folder = Path(name)
        (folder / "weights.bin").write_bytes(weights)
        files = []
        for i, array in enumerate(inputs):
            (folder / f"in{i}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
            files.append(f"in{i}.bin")
        cpu = ["-cpu", target.toolchain.qemu_cpu] if target.toolchain.qemu_cpu else []
        program = [str(executable.resolve()), "weights.bin", "out", *files]
        done = _run([emulator, *cpu, *program], folder, timeout_s)
        if done.returncode in (-signal.SIGILL, 128 + signal.SIGILL):
            log = folder / "blocks.log"
            _run([emulator, *cpu, "-d", "in_asm", "-D", str(log), *program], folder, timeout_s)
            raise CheckError(
                f"{target.name} ({target.cpu.model}) does not have the instruction "
                f"{_last_instruction(log, target)} of the program; build for this board"
            )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            reason = said[-1] if said else f"status {done.returncode} and no message"
            raise CheckError(f"the program for {target.name} failed under {target.toolchain.qemu}: {reason}")
        return tuple(read_output(folder / f"out{i}.bin", spec) for i, spec in enumerate(outputs))


def available(target: Target) -> str | None:
    """The path of the target's user-mode emulator, or None where it has none or it is not installed."""
    return shutil.which(target.toolchain.qemu) if target.toolchain.qemu else None


def _run(command: Sequence[str], folder: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            list(command),
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise CheckError(
            f"{Path(command[0]).name} did not start: {error.strerror}; install qemu-user-static"
        ) from None
    except subprocess.TimeoutExpired:
        raise CheckError(
            f"the program did not end within {timeout_s:.0f} s under {Path(command[0]).name}"
        ) from None


def _last_instruction(log: Path, target: Target) -> str:
    """The last instruction that qemu translated: the one that the processor does not have."""
    try:
        found = _INSTRUCTION.findall(log.read_text(errors="replace"))
    except OSError:
        found = []
    if not found:
        return "(its address is not known)"
    address, digits = found[-1]
    word = bytes.fromhex(digits.replace(" ", ""))
    machine = _ELF_NAMES.get(target.cpu.arch, "")
    code = word[::-1] if machine in ("EM_AARCH64", "EM_RISCV") else word
    return f"{describe_instruction(machine, code)} at {int(address, 16):#x}"


def read_output(path: Path, spec: TensorSpec) -> Array:
    """The tensor that an emulated program wrote to a file.

    Raises:
        CheckError: the file is missing, or is not as long as the tensor.
    """
    data = path.read_bytes() if path.is_file() else b""
    if len(data) != spec.bytes:
        raise CheckError(
            f"the program wrote {len(data)} bytes for {spec.name} and {spec.bytes} were expected"
        )
    return np.frombuffer(data, spec.dtype).reshape(spec.shape)
