"""The ``host`` target: this machine, looked at when asked for.

Linux tells through ``/proc/cpuinfo`` and ``/sys``, macOS through ``sysctl``. What neither tells is left out.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

from edgepress.errors import TargetError
from edgepress.targets.description import Cache, Cpu, RuntimeLimits, Target, Toolchain
from edgepress.targets.features import ARM_PARTS, arm_features, x86_features, x86_level

# What the onnxruntime that edgepress installs takes (1.31 refuses IR 14 and opset 27).
HOST_RUNTIME = RuntimeLimits(onnxruntime="1.31", max_ir=13, max_opset=26)

# The oldest glibc that libraries built for another Linux machine ask for.
_GLIBC = "2.28"


def host_target(
    root: Path = Path("/"),
    *,
    machine: str = "",
    system: str = "",
    cores: int = 0,
    sysctl: Callable[[str], str] | None = None,
) -> Target:
    """This machine as a board.

    Args:
        root: where ``proc`` and ``sys`` are; another folder for tests.
        machine: what ``platform.machine()`` says; looked up when empty.
        system: what ``platform.system()`` says; looked up when empty.
        cores: how many cores the process may use; looked up when 0.
        sysctl: reads one name on macOS, giving an empty text for one that it does not know.

    Raises:
        TargetError: the machine's processor is of a family that edgepress writes no code for.
    """
    system = system or platform.system()
    machine = (machine or platform.machine()).lower()
    cores = cores or usable_cores()
    arch = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}.get(
        machine, machine
    )
    if arch not in ("x86_64", "aarch64", "riscv64"):
        raise TargetError(
            f"no code is written for this machine's processor ({machine}); name a board instead"
        )
    if system == "Darwin":
        cpu, title = _mac_cpu(arch, cores, sysctl or _sysctl)
    else:
        cpu, title = _linux_cpu(arch, cores, root)
    return Target(
        name="host",
        title=title or f"this machine ({arch})",
        kind="host",
        cpu=cpu,
        toolchain=_toolchain(cpu, system),
        runtime=HOST_RUNTIME,
        engines=("aot", "ort"),
        activations="int8" if "dotprod" in cpu.features else "uint8",
        memory_bytes=_memory(root) if system == "Linux" else None,
    )


def not_the_board(target: Target, host: Target) -> str:
    """Why ``target``'s machine code cannot run on ``host``, in one clause; empty where it can."""
    if target.cpu.arch != host.cpu.arch:
        return f"its processor is {target.cpu.arch} and this machine's is {host.cpu.arch}"
    if target.kind not in ("linux", "host") or _system(target) != _system(host):
        return f"it is made for {target.toolchain.llvm_triple}"
    lacking = sorted(set(target.cpu.features) - set(host.cpu.features))
    if lacking:
        return f"this machine lacks {', '.join(lacking)}"
    return ""


def _system(target: Target) -> str:
    return "macos" if "apple" in target.toolchain.llvm_triple else "linux"


def _linux_cpu(arch: str, cores: int, root: Path) -> tuple[Cpu, str]:
    info = _cpuinfo(root)
    clock, cache = _clock(root), _caches(root)
    if arch == "x86_64":
        features = x86_features(info.get("flags", ""))
        return _x86(features, cores, clock, cache), info.get("model name", "")
    if arch == "aarch64":
        features = arm_features(info.get("Features", ""))
        part = (_hex(info.get("CPU implementer", "")), _hex(info.get("CPU part", "")))
        model = ARM_PARTS.get(part, "generic")
        board = _text(root / "proc/device-tree/model") or _text(root / "sys/firmware/devicetree/base/model")
        return _cpu(arch, model, cores, features, 128, 32, clock, cache), board
    # RISC-V: the vector extension is left out, since no kernel is written for it.
    features = tuple(
        one for one in "acdfm" if one in info.get("isa", "").partition("_")[0].removeprefix("rv64")
    )
    return _cpu(arch, "generic-rv64", cores, features, 0, 0, clock, cache), info.get("uarch", "")


def _mac_cpu(arch: str, cores: int, sysctl: Callable[[str], str]) -> tuple[Cpu, str]:
    title = sysctl("machdep.cpu.brand_string")
    cache = Cache(l1d=_whole(sysctl("hw.l1dcachesize")), l2=_whole(sysctl("hw.l2cachesize")))
    if arch == "x86_64":
        flags = " ".join(
            sysctl(f"machdep.cpu.{one}") for one in ("features", "leaf7_features", "extfeatures")
        )
        features = x86_features(flags.lower().replace(".", "_").replace("avx1_0", "avx"))
        return _x86(features, cores, None, cache), title
    # Every Apple processor that runs macOS has these two (M1 and later).
    return _cpu(arch, "apple-m1", cores, ("dotprod", "fullfp16", "neon"), 128, 32, None, cache), title


def _x86(features: tuple[str, ...], cores: int, clock: float | None, cache: Cache) -> Cpu:
    level = x86_level(features)
    bits, registers = {"x86-64-v4": (512, 32), "x86-64-v3": (256, 16)}.get(level, (128, 16))
    return _cpu("x86_64", level, cores, features, bits, registers, clock, cache)


def _cpu(
    arch: str,
    model: str,
    cores: int,
    features: tuple[str, ...],
    bits: int,
    registers: int,
    clock: float | None,
    cache: Cache,
) -> Cpu:
    return Cpu(
        arch=arch,
        model=model,
        cores=cores,
        clock_hz=clock,
        features=features,
        vector_bits=bits,
        vector_registers=registers,
        cache=cache,
    )


def _toolchain(cpu: Cpu, system: str) -> Toolchain:
    zig_cpu = {"generic-rv64": "baseline_rv64"}.get(cpu.model, cpu.model.replace("-", "_"))
    if cpu.arch == "x86_64":
        # Levels leave the integer dot products out; the C compiler is told of them too.
        zig_cpu += "".join(f"+{one}" for one in ("avx512vnni", "avxvnni") if one in cpu.features)
    elif cpu.model == "generic" and "dotprod" in cpu.features:
        zig_cpu += "+dotprod"
    if system == "Darwin":
        llvm = "arm64" if cpu.arch == "aarch64" else cpu.arch
        return Toolchain(f"{llvm}-apple-macos11.0", f"{cpu.arch}-macos", zig_cpu)
    libc = "musl" if platform.libc_ver()[0] == "" and system == platform.system() else f"gnu.{_GLIBC}"
    return Toolchain(
        llvm_triple=f"{cpu.arch}-linux-gnu",
        llvm_abi="lp64d" if cpu.arch == "riscv64" else "",
        zig_target=f"{cpu.arch}-linux-{libc}",
        zig_static_target=f"{cpu.arch}-linux-musl",
        zig_cpu=zig_cpu,
        unicorn={"aarch64": "arm64", "riscv64": "riscv64"}.get(cpu.arch, ""),
        unicorn_cpu={"aarch64": "MAX", "riscv64": "SIFIVE_U54"}.get(cpu.arch, ""),
    )


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's lines of ``/proc/cpuinfo``; the first of each name wins."""
    found: dict[str, str] = {}
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


def _clock(root: Path) -> float | None:
    kilohertz = _whole(_text(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq"))
    return kilohertz * 1e3 if kilohertz else None


def _caches(root: Path) -> Cache:
    sizes: dict[str, int] = {}
    for folder in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        size = _text(folder / "size")
        count = _whole(size.removesuffix("K"))
        if count and size.endswith("K") and _text(folder / "type") in ("Data", "Unified"):
            sizes[_text(folder / "level")] = count * 1024
    return Cache(l1d=sizes.get("1"), l2=sizes.get("2"), l3=sizes.get("3"))


def _memory(root: Path) -> int | None:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            kibibytes = _whole(line.removeprefix("MemTotal:").removesuffix("kB").strip())
            return kibibytes * 1024 if kibibytes else None
    return None


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[: 1 << 20].decode("utf-8", "replace").strip("\0\n ")
    except OSError:
        return ""


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text) else None


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return -1
