"""From kernels and a model description to a library: compile, link, archive, for any target.

What comes out, where the target has it:

- ``lib<name>.so`` (``.dylib``, ``.wasm``): exports ``ep_*`` only and needs no other library, so the same
  file loads on glibc, musl and Android;
- ``lib<name>.a`` and the headers: what a C program links, with its own libc for ``expf`` and the like;
- ``<name>``: a static executable (``runtimes/c/ep_main.c``), which an emulator or a bare board can run;
- C sources, for microcontrollers, and ``<name>.elf``: the same code as a program for emulators, which is
  for checking only (:mod:`edgepress.targets.compilers.image`).

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
from edgepress.targets.compilers.image import START, image_command, start_flags
from edgepress.targets.compilers.zig import OPTIONS, CCompiler, c_compiler, invoke, static_command
from edgepress.targets.description import Target

_CORE = ("ep_run.c",)
_POOL = ("ep_pool.c",)
_SUPPORT = ("ep_mem.c", "ep_math.c", "ep_math_round.c")
_THREADS = ("ep_threads.c",)
_HEADERS = ("ep.h", "ep_os.h", "ep_pool.h", "ep_threads.h", "ep_math.h")
CODER = ("ep_code.c", "ep_context.c", "ep_context_sound.c", "ep_coding.c")
CODER_HEADERS = ("ep_coding.h", "ep_code.h", "ep_context.h", "ep_rans.h")
SENDER = ("ep_stream.c", "ep_split.c")
SENDER_HEADERS = ("ep_split.h", "ep_stream.h")
_EXPORTS = ("ep_run", "ep_get_model", "ep_status_text", "__heap_base")
_CODER_EXPORTS = tuple(
    f"ep_coding_{name}" for name in ("bytes", "open", "channels", "scratch", "most_bytes", "encode", "decode")
)
SENDER_EXPORTS = (
    *(f"ep_stream_{name}" for name in ("chunks", "extent_of", "most_bytes", "header", "chunk")),
    *(f"ep_split_{name}" for name in ("bytes", "open", "latent_bytes", "scratch", "most_bytes", "encode")),
    "ep_get_split",
)

_FREESTANDING = ("-ffreestanding", "-fno-builtin", "-ffp-contract=off")
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
        image: a microcontroller's program for emulators, which does not ship.
    """

    shared: Path | None
    archive: Path | None
    executable: Path | None
    sources: tuple[Path, ...]
    headers: tuple[Path, ...]
    compiler: str
    image: Path | None = None


@dataclass(frozen=True)
class _Job:
    """One link: for whom, with what, in which scratch folder, and where the results go."""

    target: Target
    compiler: CCompiler
    work: Path
    out: Path
    name: str
    coder: bool
    sender: bool

    @property
    def runtime(self) -> tuple[str, ...]:
        """What stands above the executor: the entropy coder, and who makes streams by it."""
        return (*(CODER if self.coder else ()), *(SENDER if self.sender else ()))

    @property
    def wasm(self) -> bool:
        return self.target.cpu.arch.startswith("wasm")

    @property
    def macos(self) -> bool:
        return "macos" in self.target.toolchain.zig_target

    def deliver(self, name: str) -> Path:
        """Put a finished file where it belongs, whole or not at all."""
        part = self.out / (name + ".part")
        shutil.copy2(self.work / name, part)
        part.replace(self.out / name)
        return self.out / name


def runtime_folder() -> Path:
    """The folder of the C runtime's sources and headers."""
    return Path(next(iter(edgepress.runtimes.__path__))).resolve() / "c"


def link(
    files: Sequence[Path],
    target: Target,
    out: Path,
    name: str = "model",
    *,
    executable: bool = True,
    coder: bool = False,
    sender: bool = False,
) -> Linked:
    """Link kernels and a model description with the C runtime.

    Args:
        files: ``model.c`` and ``kernels.o`` or ``kernels.c``; headers beside them are found.
        target: the board.
        out: the folder that the results go to; made where it is missing.
        name: names the results: ``lib<name>.so`` and so on.
        executable: also link the static executable, whose first one for a target compiles a libc; for a
            microcontroller the image.
        coder: also the entropy coder of ``ep_coding.h``, for parts of codecs.
        sender: also the coder and the streams of ``ep_split.h``, for the device's part of a split network; one of
            the files is what :func:`edgepress.targets.compilers.sender.sender_source` writes.

    Raises:
        CompileError: a file does not compile, a symbol is missing, or the linker failed.
        MissingExtraError: no compiler for the target is installed.
    """
    compiler = c_compiler(target)
    out.mkdir(parents=True, exist_ok=True)
    coder = coder or sender
    more = (*(_coder_headers(target) if coder else ()), *(SENDER_HEADERS if sender else ()))
    headers = _copy_headers(files, out, more)
    with tempfile.TemporaryDirectory(prefix="edgepress-link-") as folder:
        job = _Job(target, compiler, Path(folder), out, name, coder, sender)
        units = _gather(files, job)
        if target.kind == "microcontroller":
            archive, sources, image = _microcontroller(units, job, executable)
            return Linked(None, archive, None, sources, headers, compiler.name, image)
        objects = _compile(units, _kernel_flags(), job)
        runtime = _compile_runtime((*_CORE, *(() if job.wasm else _POOL), *job.runtime), job)
        support = _compile_runtime(_SUPPORT, job)
        shared = _shared([*objects, *runtime, *support], job)
        # Not on Android, whose libc headers no compiler here has, nor where there are no threads.
        threads = _compile_runtime(_THREADS, job) if target.kind in ("linux", "host") else []
        archive = _archive([*objects, *runtime, *threads], job)
        program = _executable([*objects, *runtime, *support], job) if executable else None
    return Linked(shared, archive, program, (), headers, compiler.name)


def _kernel_flags() -> tuple[str, ...]:
    """For what a build emitted: no libc, so ``math.h`` and ``string.h`` are the runtime's."""
    own = runtime_folder()
    return (*OPTIONS, "-ffreestanding", "-I.", f"-I{own}", "-isystem", str(own / "freestanding"))


def _gather(files: Sequence[Path], job: _Job) -> list[str]:
    """Copy the inputs and the headers beside them to the scratch folder: no path of ours is compiled in."""
    if not files:
        raise CompileError("there is nothing to link; give the model description and the kernels")
    for path in files:
        if not path.is_file():
            raise CompileError(f"{path.name} is missing; compile the graph before linking it")
        shutil.copyfile(path, job.work / path.name)
        for header in sorted(path.parent.glob("*.h")):
            shutil.copyfile(header, job.work / header.name)
    return [path.name for path in files]


def _coder_headers(target: Target) -> tuple[str, ...]:
    """The one that an application includes, and where the sources ship, those that they include."""
    return CODER_HEADERS if target.kind == "microcontroller" else CODER_HEADERS[:1]


def _copy_headers(files: Sequence[Path], out: Path, more: Sequence[str]) -> tuple[Path, ...]:
    headers = [runtime_folder() / name for name in ("ep.h", "ep_pool.h", "ep_threads.h", *more)]
    headers += sorted({header for path in files for header in path.parent.glob("*.h")})
    for header in headers:
        if header.resolve() != (out / header.name).resolve():
            shutil.copyfile(header, out / header.name)
    return tuple(sorted({out / header.name for header in headers}))


def _compile(units: Sequence[str], flags: tuple[str, ...], job: _Job) -> list[str]:
    """Compile the C files among the units and return the names of all objects."""
    position = () if job.wasm else ("-fPIC",)
    objects = []
    for unit in units:
        if unit.endswith(".c"):
            result = unit.removesuffix(".c") + ".o"
            paths = f"-ffile-prefix-map={job.work}=."
            command = (*job.compiler.cc, *flags, *position, paths, "-c", unit, "-o", result)
            invoke(command, f"compiling {unit} for {job.target.name}", job.work)
            objects.append(result)
        else:
            objects.append(unit)
    return objects


def _compile_runtime(names: Sequence[str], job: _Job) -> list[str]:
    for name in (
        *names,
        *_HEADERS,
        *(CODER_HEADERS if job.coder else ()),
        *(SENDER_HEADERS if job.sender else ()),
    ):
        shutil.copyfile(runtime_folder() / name, job.work / name)
    flags = (*OPTIONS, "-I.", *(() if names == _THREADS else _FREESTANDING))
    if names == START:
        flags = (*flags, *start_flags(job.target))
    return _compile(names, flags, job)


def _shared(objects: Sequence[str], job: _Job) -> Path:
    command = [*job.compiler.cc, "-O3"]
    if job.wasm:
        result = f"lib{job.name}.wasm"
        command += ["-nostdlib", "-s", "-Wl,--no-entry"]
        coder, sender = _CODER_EXPORTS if job.coder else (), SENDER_EXPORTS if job.sender else ()
        command += [f"-Wl,--export={name}" for name in (*_EXPORTS, *coder, *sender)]
    elif job.macos:
        result = f"lib{job.name}.dylib"
        command += ["-dynamiclib", f"-Wl,-install_name,@rpath/{result}"]
    else:
        result = f"lib{job.name}.so"
        (job.work / "exports.map").write_text("{ global: ep_*; local: *; };\n")
        command += ["-shared", "-nostdlib", "-s", "-Wl,--version-script=exports.map", "-Wl,-z,defs"]
        command += ["-Wl,--build-id=none", "-Wl,--gc-sections", f"-Wl,-soname,{result}"]
        if job.target.kind == "android":
            command.append(f"-Wl,-z,max-page-size={_PAGE}")
    invoke([*command, *objects, "-o", result], f"linking {result} for {job.target.name}", job.work)
    return job.deliver(result)


def _archive(members: Sequence[str], job: _Job) -> Path:
    result = f"lib{job.name}.a"
    command = (*job.compiler.ar, "rcsD", result, *members)
    invoke(command, f"archiving {result} for {job.target.name}", job.work)
    return job.deliver(result)


def _executable(objects: Sequence[str], job: _Job) -> Path | None:
    if not job.compiler.static_cc:
        return None
    shutil.copyfile(runtime_folder() / "ep_main.c", job.work / "ep_main.c")
    # Memory functions are the libc's here; mathematics stays ours, so that an emulator checks the same code.
    # WASI's libc brings its mathematics whole, so there it is the libc's.
    theirs = ("ep_mem.o", "ep_math.o", "ep_math_round.o") if job.wasm else ("ep_mem.o",)
    own = [unit for unit in objects if unit not in theirs]
    command = (*static_command(job.compiler, job.work), "ep_main.c", *own, "-o", job.name)
    invoke(command, f"linking the static executable for {job.target.name}", job.work)
    return job.deliver(job.name)


def _microcontroller(
    units: Sequence[str], job: _Job, image: bool
) -> tuple[Path, tuple[Path, ...], Path | None]:
    """Compile for the processor, hand over the C sources, and link the image that emulators run."""
    own = (*_CORE, *job.runtime)
    objects = [*_compile(units, _kernel_flags(), job), *_compile_runtime(own, job)]
    archive = _archive(objects, job)
    sources = tuple(job.deliver(unit) for unit in (*units, *own) if unit.endswith(".c"))
    if not image:
        return archive, sources, None
    objects += [*_compile_runtime(_SUPPORT, job), *_compile_runtime(START, job)]
    result = f"{job.name}.elf"
    command = image_command(job.compiler, job.target, objects, result, SENDER_EXPORTS if job.sender else ())
    invoke(command, f"linking the image for {job.target.name}", job.work)
    return archive, sources, job.deliver(result)
