"""The C compiler for a target: ziglang's, which is every target's, or a cross compiler of the system."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepress.errors import CompileError, MissingExtraError
from edgepress.paths import cache_dir
from edgepress.targets.description import Target

OPTIONS = (
    "-O3", "-std=c11", "-g0", "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables",
    "-fno-math-errno", "-fvisibility=hidden",
)  # fmt: skip
"""Options of every compilation. Zig builds a libc for each set of them, so what warms it up has these too."""

_NO_GATHERS = ("-mllvm", "-enable-arm-maskedgatscat=false")
"""Clang 22.1.8 gives loops around Helium's gathers a wrong count, so that some practically never end."""

_LONGEST_S = 900.0
"""A run of the compiler may take this long: its first one for a target compiles a libc."""

_SYSTEM = {
    "aarch64": ("aarch64-linux-gnu-gcc",),
    "riscv64": ("riscv64-linux-gnu-gcc",),
    "x86_64": ("x86_64-linux-gnu-gcc",),
    "thumb": ("arm-none-eabi-gcc",),
}


@dataclass(frozen=True)
class CCompiler:
    """A C compiler aimed at one target.

    Attributes:
        name: ``ziglang`` or the program's name, for messages and manifests.
        cc: the command that compiles and links, with the flags that choose the target.
        static_cc: the same for a static executable, or empty where there is none. It names no processor
            model: the kernels are objects already, and so all boards of an architecture share one libc.
        ar: the command that makes archives.
    """

    name: str
    cc: tuple[str, ...]
    static_cc: tuple[str, ...]
    ar: tuple[str, ...]


def cache_folder() -> Path:
    """Where zig keeps what it compiled: ``ZIG_GLOBAL_CACHE_DIR``, else ``zig`` in edgepress's own cache."""
    given = os.environ.get("ZIG_GLOBAL_CACHE_DIR")
    return Path(given) if given else cache_dir() / "zig"


def c_compiler(target: Target) -> CCompiler:
    """Find the C compiler for a target: ziglang first, then a cross compiler of the system.

    Raises:
        MissingExtraError: neither is installed.
    """
    if importlib.util.find_spec("ziglang") is not None:
        return _zig(target)
    found = _system(target)
    if found is None:
        raise MissingExtraError(f"linking for {target.name}", "ziglang", "build")
    return found


def _zig(target: Target) -> CCompiler:
    zig = (sys.executable, "-m", "ziglang")
    toolchain = target.toolchain
    cpu: tuple[str, ...] = (f"-mcpu={toolchain.zig_cpu}",) if toolchain.zig_cpu else ()
    if "+mve" in toolchain.zig_cpu:
        cpu += _NO_GATHERS
    static = toolchain.zig_static_target
    return CCompiler(
        "ziglang",
        (*zig, "cc", "-target", toolchain.zig_target, *cpu),
        (*zig, "cc", "-target", static) if static else (),
        (*zig, "ar"),
    )


def _system(target: Target) -> CCompiler | None:
    arch = target.cpu.arch
    names = _SYSTEM.get(arch, ())
    if arch == os.uname().machine:
        names = (*names, "cc", "gcc")
    cc = next((name for name in names if shutil.which(name)), None)
    if cc is None or target.kind not in ("linux", "host", "microcontroller"):
        return None
    flags: tuple[str, ...] = ("-fno-stack-protector",)
    if arch == "aarch64":
        flags = (*flags, f"-mcpu={target.cpu.model}")
    elif arch == "x86_64" and target.cpu.model.startswith("x86-64"):
        flags = (*flags, f"-march={target.cpu.model}")
    elif arch == "thumb":
        flags = (*flags, "-mthumb", f"-mcpu={target.cpu.model}", "-mfloat-abi=hard")
    command = (cc, *flags)
    ar = cc.removesuffix("gcc") + "ar" if cc.endswith("-gcc") else "ar"
    static = command if target.kind != "microcontroller" and arch != "thumb" else ()
    return CCompiler(cc, command, static, (ar,))


def invoke(command: Sequence[str], what: str, folder: Path) -> str:
    """Run a compiler, linker or archiver in ``folder`` and return what it wrote to standard output.

    Raises:
        CompileError: it failed, could not start or took too long; the message has its first useful line.
    """
    with tempfile.TemporaryDirectory(prefix="edgepress-zig-") as scratch:
        environment = {
            **os.environ,
            "ZIG_GLOBAL_CACHE_DIR": str(cache_folder()),
            "ZIG_LOCAL_CACHE_DIR": scratch,
            "ZERO_AR_DATE": "1",
            "SOURCE_DATE_EPOCH": "0",
        }
        try:
            done = subprocess.run(
                list(command), cwd=folder, env=environment, capture_output=True, text=True, errors="replace",
                timeout=_LONGEST_S, check=False,
            )  # fmt: skip
        except OSError as error:
            raise CompileError(
                f"{what}: the compiler did not start ({error}); install edgepress[build] again"
            ) from None
        except subprocess.TimeoutExpired:
            raise CompileError(
                f"{what}: the compiler took longer than {_LONGEST_S:.0f} s and was ended"
            ) from None
    if done.returncode != 0:
        raise CompileError(f"{what} failed: {first_useful_line(done.stderr, done.returncode)}")
    return done.stdout


def first_useful_line(output: str, status: int) -> str:
    """The line of a compiler's complaints that says what is wrong, without the folders it names."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("fatal error:", "error:", "undefined", "cannot", "unknown"):
        for line in lines:
            if mark in line:
                return line[line.find(mark) :] if mark.endswith(":") else line
    if status < 0:
        return f"the compiler was ended by signal {-status}"
    return lines[-1] if lines else f"the compiler ended with status {status} and no message"


def static_command(compiler: CCompiler, folder: Path) -> tuple[str, ...]:
    """The command that links a static executable in ``folder``; sources, objects and ``-o`` follow."""
    bare = () if "wasm" in "".join(compiler.static_cc) else ("-Wl,--build-id=none", "-Wl,--gc-sections")
    return (*compiler.static_cc, *OPTIONS, f"-ffile-prefix-map={folder}=.", "-I.", "-static", "-s", *bare)


def warm_toolchain(target: Target) -> None:
    """Let the compiler build its own support code for a target once, so that the next link is quick.

    Raises:
        CompileError: a program of one line does not compile.
        MissingExtraError: no compiler is installed.
    """
    compiler = c_compiler(target)
    with tempfile.TemporaryDirectory(prefix="edgepress-warm-") as folder:
        source = Path(folder) / "main.c"
        if compiler.static_cc:
            source.write_text('#include <stdio.h>\nint main(void) { return puts("") < 0; }\n')
            command = (*static_command(compiler, Path(folder)), "main.c", "-o", "main")
        else:
            source.write_text("int edgepress_warm(void) { return 0; }\n")
            command = (*compiler.cc, "-O3", "-ffreestanding", "-c", "main.c", "-o", "main.o")
        invoke(command, f"warming the compiler for {target.name}", Path(folder))
