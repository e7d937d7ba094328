"""Compile the entropy coder as a library of its own, for every kind of host.

It needs no libc, so that one file serves glibc, musl and Android. Nothing of edgepress is imported here: ``setup.py``
reads this file alone while a wheel is made.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PLATFORMS = {
    "linux-x86_64-v3": ("x86_64-linux-none", "x86_64_v3"),
    "linux-x86_64": ("x86_64-linux-none", "x86_64_v2"),
    "linux-aarch64": ("aarch64-linux-none", "generic"),
    "linux-armv7l": ("arm-linux-musleabihf", "generic+v7a+neon"),
    "linux-riscv64": ("riscv64-linux-none", "baseline_rv64"),
    "darwin-arm64": ("aarch64-macos-none", "apple_m1"),
    "darwin-x86_64": ("x86_64-macos-none", "x86_64_v2"),
}
"""Name to zig's target and processor; a host's name is its system's and its machine's."""

SOURCES = ("ep_code.c", "ep_context.c", "ep_context_sound.c", "ep_coding.c", "ep_mem.c")
HEADERS = ("ep_coding.h", "ep_code.h", "ep_context.h", "ep_rans.h", "ep_os.h")
_FLAGS = (
    "-O3", "-std=c11", "-g0", "-ffreestanding", "-fno-builtin", "-fvisibility=hidden", "-ffunction-sections",
    "-fno-asynchronous-unwind-tables", "-nostdlib", "-s", "-I.",
)  # fmt: skip
_ELF = ("-shared", "-fPIC", "-Wl,--build-id=none", "-Wl,--gc-sections")


def file_name(platform: str) -> str:
    """What a platform's library is called."""
    return f"libepcoder-{platform}{'.dylib' if platform.startswith('darwin') else '.so'}"


def can_compile() -> bool:
    """Whether the compiler is installed."""
    return importlib.util.find_spec("ziglang") is not None


def compile_coder(platform: str, sources: Path, out: Path) -> Path:
    """Compile for a platform; the file appears whole or not at all, and is the same for the same sources.

    Args:
        platform: of :data:`PLATFORMS`.
        sources: the folder of the C runtime.
        out: the folder that the library is put in; made where it is missing.

    Raises:
        OSError: the compiler did not start, or a file cannot be written.
        subprocess.SubprocessError: it failed.
    """
    target, processor = PLATFORMS[platform]
    name = file_name(platform)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgepress-coder-") as scratch:
        folder = Path(scratch)
        for file in (*SOURCES, *HEADERS):
            shutil.copyfile(sources / file, folder / file)
        kind = ("-dynamiclib",) if platform.startswith("darwin") else _ELF
        command = (
            sys.executable, "-m", "ziglang", "cc", "-target", target, f"-mcpu={processor}", *_FLAGS, *kind,
            f"-ffile-prefix-map={folder}=.", *SOURCES, "-o", name,
        )  # fmt: skip
        environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(folder / "zig")}
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, timeout=600)
        part = out / f"{name}.{os.getpid()}.part"
        shutil.copyfile(folder / name, part)
        part.replace(out / name)
    return out / name
