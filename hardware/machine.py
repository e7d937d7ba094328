"""The machine that a figure was measured on, and the state it was in."""

from __future__ import annotations

import contextlib
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from edgepress.targets.detect import usable_cores


@dataclass(frozen=True)
class Machine:
    """What was measured on; None or empty where the system does not tell.

    Attributes:
        cpu: the processor, as it calls itself.
        arch: the architecture.
        cores: how many this process may use.
        governor: what sets the clock (Linux).
        clock_mhz: the first core's clock when looked at.
        load: runnable processes, averaged over the last minute.
        temperature_c: the hottest thermal zone (Linux).
        system: operating system and release.
    """

    cpu: str
    arch: str
    cores: int
    governor: str = ""
    clock_mhz: float | None = None
    load: float | None = None
    temperature_c: float | None = None
    system: str = ""

    @property
    def busy(self) -> bool:
        """Whether other work takes more than half of the cores, so that times say little."""
        return self.load is not None and self.load > self.cores / 2

    def __str__(self) -> str:
        state = [f"{self.cores} cores", f"governor {self.governor or 'unknown'}"]
        if self.load is not None:
            state.append(f"load {self.load:.2f}")
        if self.temperature_c is not None:
            state.append(f"{self.temperature_c:.0f} °C")
        return f"{self.cpu} ({self.arch}, {', '.join(state)})"


def this_machine(root: Path = Path("/")) -> Machine:
    """Look at this machine.

    Args:
        root: where ``proc`` and ``sys`` are; another folder for tests.
    """
    frequency = root / "sys/devices/system/cpu/cpu0/cpufreq"
    load = None
    with contextlib.suppress(OSError):
        load = os.getloadavg()[0]
    clock = _number(frequency / "scaling_cur_freq")
    hottest = max(
        filter(None, map(_number, sorted(root.glob("sys/class/thermal/thermal_zone*/temp")))), default=None
    )
    return Machine(
        cpu=_cpu(root) or platform.processor() or platform.machine(),
        arch=platform.machine(),
        cores=usable_cores(),
        governor=_text(frequency / "scaling_governor"),
        clock_mhz=clock / 1e3 if clock is not None else None,
        load=load,
        temperature_c=hottest / 1e3 if hottest is not None else None,
        system=f"{platform.system()} {platform.release()}",
    )


def _cpu(root: Path) -> str:
    board = _text(root / "proc/device-tree/model")
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "uarch"):
            return board or value.strip()
    return board


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[: 1 << 20].decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""
