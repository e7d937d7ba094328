"""From kernels and a model description to a library: compile, link, archive, for any target.

What comes out, where the target has it:

- ``lib<name>.so`` (``.dylib``, ``.wasm``): exports ``ep_*`` only and needs no other library, so the same
  file loads on glibc, musl and Android;
- ``lib<name>.a`` and the headers: what a C program links, with its own libc for ``expf`` and the like;
- ``<name>``: a static executable (``runtimes/c/ep_main.c``), which an emulator or a bare board can run;
- C sources, for microcontrollers: compiled here only to know that they compile.

The same files in give the same bytes out: no build identifiers, no dates, no folders.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import edgepress.runtimes
from edgepress.errors import CompileError
from edgepress.targets.compilers.zig import CCompiler, c_compiler, invoke
from edgepress.targets.description import Target

_CORE = ("ep_run.c",)
_POOL = ("ep_pool.c",)
_SUPPORT = ("ep_mem.c", "ep_math.c", "ep_math_round.c")
_THREADS = ("ep_threads.c",)
_HEADERS = (
    "ep.h",
    "ep_os.h",
    "ep_pool.h",
    "ep_threads.h",
    "ep_math.h",
    "freestanding/math.h",
    "freestanding/string.h",
)

_COMMON = (
    "-O3",
    "-std=c11",
    "-g0",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-fno-math-errno",
    "-fvisibility=hidden",
)
_RUNTIME = (
    *_COMMON, "-ffreestanding", "-fno-builtin", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-unused-command-line-argument",
)  # fmt: skip
_PAGE = 16384
"""Android from 15 on, the Raspberry Pi 5 and Apple's chips use pages of 16 KiB."""


@dataclass(frozen=True)
class Linked:
    """What :func:`link` made; None or empty where the target has no such thing.

    Attributes:
        shared: the library for ``dlopen`` and for Python, or the WebAssembly module.
        archive: the library for a C program's own link.
        executable: a static program that runs the model once on files.
        sources: C files to add to a firmware project, the runtime's included.
        headers: what ``#include`` needs.
        compiler: who compiled: ``ziglang``, or a program's name.
    """

    shared: Path | None
    archive: Path | None
    executable: Path | None
    sources: tuple[Path, ...]
    headers: tuple[Path, ...]
    compiler: str


def runtime_folder() -> Path:
    """The folder of the C runtime's sources and headers."""
    return Path(next(iter(edgepress.runtimes.__path__))).resolve() / "c"


def link(files: Sequence[Path], target: Target, out: Path, name: str = "model") -> Linked:
    """Link kernels and a model description with the C runtime.

    Args:
        files: ``model.c`` and ``kernels.o`` or ``kernels.c``; headers beside them are found.
        target: the board.
        out: the folder that the results go to; made where it is missing.
        name: names the results: ``lib<name>.so`` and so on.

    Raises:
        CompileError: a file does not compile, a symbol is missing, or the linker failed.
        MissingExtraError: no compiler for the target is installed.
    """
    compiler = c_compiler(target)
    out.mkdir(parents=True, exist_ok=True)
    headers = _copy_headers(files, out)
    with tempfile.TemporaryDirectory(prefix="edgepress-link-") as folder:
        work = Path(folder)
        units = _gather(files, work)
        if target.kind == "microcontroller":
            return _microcontroller(units, target, compiler, work, out, name, headers)
        objects = _compile(
            units, (*_COMMON, *_position(target), *_includes(work, libc=False)), target, compiler, work
        )
        runtime = _compile_runtime((*_CORE, *(() if _is_wasm(target) else _POOL)), target, compiler, work)
        support = _compile_runtime(_SUPPORT, target, compiler, work)
        shared = _shared([*objects, *runtime, *support], target, compiler, work, out, name)
        members = [*objects, *runtime]
        if _has_pthread(target):
            members += _compile_runtime(_THREADS, target, compiler, work)
        archive = _archive(members, target, compiler, work, out, name)
        executable = _executable([*objects, *runtime, *support], target, compiler, work, out, name)
    return Linked(shared, archive, executable, (), headers, compiler.name)


def _is_wasm(target: Target) -> bool:
    return target.cpu.arch.startswith("wasm")


def _is_macos(target: Target) -> bool:
    return "macos" in target.toolchain.zig_target


def _has_pthread(target: Target) -> bool:
    """Whether the compiler has the target's libc headers: not Android's, and a browser has no threads."""
    return target.kind in ("linux", "host")


def _position(target: Target) -> tuple[str, ...]:
    return () if _is_wasm(target) else ("-fPIC",)


def _includes(work: Path, *, libc: bool) -> tuple[str, ...]:
    """The include path; without a libc, ``math.h`` and ``string.h`` are the runtime's."""
    own = runtime_folder()
    return ("-I.", f"-I{own}", *(() if libc else ("-isystem", str(own / "freestanding"))))


def _gather(files: Sequence[Path], work: Path) -> list[str]:
    """Copy the inputs and the headers beside them into the work folder, so that no path of ours is compiled in."""
    if not files:
        raise CompileError("there is nothing to link; give the model description and the kernels")
    for path in files:
        if not path.is_file():
            raise CompileError(f"{path.name} is missing; compile the graph before linking it")
        shutil.copyfile(path, work / path.name)
        for header in sorted(path.parent.glob("*.h")):
            shutil.copyfile(header, work / header.name)
    return [path.name for path in files]


def _copy_headers(files: Sequence[Path], out: Path) -> tuple[Path, ...]:
    headers = [runtime_folder() / name for name in ("ep.h", "ep_pool.h", "ep_threads.h")]
    headers += sorted({header for path in files for header in path.parent.glob("*.h")})
    for header in headers:
        if header.resolve() != (out / header.name).resolve():
            shutil.copyfile(header, out / header.name)
    return tuple(sorted({out / header.name for header in headers}))


def _compile(
    units: Sequence[str], flags: tuple[str, ...], target: Target, compiler: CCompiler, work: Path
) -> list[str]:
    objects = []
    for unit in units:
        if unit.endswith(".c"):
            result = unit.removesuffix(".c") + ".o"
            command = (*compiler.cc, *flags, f"-ffile-prefix-map={work}=.", "-c", unit, "-o", result)
            invoke(command, f"compiling {unit} for {target.name}", work)
            objects.append(result)
        else:
            objects.append(unit)
    return objects


def _compile_runtime(names: Sequence[str], target: Target, compiler: CCompiler, work: Path) -> list[str]:
    own = runtime_folder()
    for name in (*names, *_HEADERS):
        (work / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(own / name, work / name)
    flags = (*_RUNTIME, *_position(target), "-I.")
    if names == _THREADS:
        flags = tuple(flag for flag in flags if flag not in ("-ffreestanding", "-fno-builtin"))
    return _compile(names, flags, target, compiler, work)


def _shared(
    objects: Sequence[str], target: Target, compiler: CCompiler, work: Path, out: Path, name: str
) -> Path:
    if _is_wasm(target):
        result = f"lib{name}.wasm"
        exports = [
            f"-Wl,--export={symbol}" for symbol in ("ep_run", "ep_get_model", "ep_status_text", "__heap_base")
        ]
        command = (*compiler.cc, "-O3", "-nostdlib", "-s", "-Wl,--no-entry", *exports, *objects, "-o", result)
    elif _is_macos(target):
        result = f"lib{name}.dylib"
        command = (
            *compiler.cc,
            "-O3",
            "-dynamiclib",
            f"-Wl,-install_name,@rpath/{result}",
            *objects,
            "-o",
            result,
        )
    else:
        result = f"lib{name}.so"
        (work / "exports.map").write_text("{ global: ep_*; local: *; };\n")
        page = (f"-Wl,-z,max-page-size={_PAGE}",) if target.kind == "android" else ()
        command = (
            *compiler.cc, "-O3", "-shared", "-nostdlib", "-s", "-Wl,--version-script=exports.map", "-Wl,-z,defs",
            "-Wl,--build-id=none", "-Wl,--gc-sections", f"-Wl,-soname,{result}", *page, *objects, "-o", result,
        )  # fmt: skip
    invoke(command, f"linking {result} for {target.name}", work)
    return _deliver(work / result, out)


def _archive(
    members: Sequence[str], target: Target, compiler: CCompiler, work: Path, out: Path, name: str
) -> Path:
    result = f"lib{name}.a"
    invoke((*compiler.ar, "rcsD", result, *members), f"archiving {result} for {target.name}", work)
    return _deliver(work / result, out)


def _executable(
    objects: Sequence[str], target: Target, compiler: CCompiler, work: Path, out: Path, name: str
) -> Path | None:
    if not compiler.static_cc:
        return None
    shutil.copyfile(runtime_folder() / "ep_main.c", work / "ep_main.c")
    # Memory functions are the libc's here; mathematics stays ours, so that an emulator checks the same code.
    # WASI's libc brings its mathematics whole, so there it is the libc's.
    theirs = ("ep_mem.o", "ep_math.o", "ep_math_round.o") if _is_wasm(target) else ("ep_mem.o",)
    own = [unit for unit in objects if unit not in theirs]
    command = (
        *compiler.static_cc, *_COMMON, "-static", "-s", "-Wl,--build-id=none", "-Wl,--gc-sections", f"-ffile-prefix-map={work}=.",
        "-I.", "ep_main.c", *own, "-o", name,
    )  # fmt: skip
    invoke(command, f"linking the static executable for {target.name}", work)
    return _deliver(work / name, out)


def _microcontroller(
    units: Sequence[str],
    target: Target,
    compiler: CCompiler,
    work: Path,
    out: Path,
    name: str,
    headers: tuple[Path, ...],
) -> Linked:
    """Compile for the processor to know that it compiles, and hand over the C sources."""
    objects = _compile(
        units, (*_COMMON, "-ffreestanding", *_includes(work, libc=False)), target, compiler, work
    )
    objects += _compile_runtime(_CORE, target, compiler, work)
    archive = _archive(objects, target, compiler, work, out, name)
    sources = []
    for unit in (*units, *_CORE):
        if unit.endswith(".c"):
            sources.append(_deliver(work / unit, out))
    return Linked(None, archive, None, tuple(sources), headers, compiler.name)


def _deliver(made: Path, out: Path) -> Path:
    """Put a finished file where it belongs, whole or not at all."""
    part = out / (made.name + ".part")
    shutil.copy2(made, part)
    part.replace(out / made.name)
    return out / made.name
