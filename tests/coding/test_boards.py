"""Streams made on one processor decode to the same integers on all others, and come out as the same bytes, those of a
split network's latents too."""

from __future__ import annotations

import hashlib
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgepress.coding.coder import PortableCoder
from edgepress.coding.frozen import write_codings
from edgepress.coding.split import integers, stream_header
from edgepress.coding.stream import read_header
from edgepress.coding.whole import decode
from edgepress.hardware.emulator.elf import read_image
from edgepress.runtimes.native_coder import NativeCoder
from edgepress.targets.compilers.link import (
    CODER,
    CODER_HEADERS,
    SENDER,
    SENDER_EXPORTS,
    SENDER_HEADERS,
    Linked,
    link,
)
from edgepress.targets.compilers.sender import NAME
from edgepress.targets.compilers.zig import OPTIONS, c_compiler, invoke
from edgepress.targets.load import load_target
from tests.coding import golden, split_golden
from tests.native.tiny_model import FILES
from tests.required_tools import tool

INTERFACE = ("bytes", "open", "channels", "scratch", "most_bytes", "encode", "decode")
GOLDEN = "122fd0ab6bc5075b3f325697645e95922767b0e7fa1f54de5ca9ad0114470167"
SPLIT_GOLDEN = "ac975c53bdee026376eb361259fa90836082a056b06bbdc68e3085b79688d32b"


def linked(board: str, case: Path, folder: Path, *more: str) -> Linked:
    """The tiny model with the tables of the golden split network."""
    files = [*FILES, *(case / name for name in (NAME, *more))]
    return link(files, load_target(board), folder, "tiny", executable=False, sender=True)


def run_bare(cc: tuple[str, ...], units: list[str], case: Path, *emulator: str) -> int:
    """The status of the trials as a program without a libc."""
    flags = ("-ffreestanding", "-fno-builtin", "-nostdlib", "-static", "-I.", "-Wl,-e,_start", "-o", "trial")
    own = ("start.c", "trial.c", "split_trial.c", "ep_mem.c")
    invoke((*cc, *OPTIONS, *flags, *own, *units), "linking the trials", case)
    return subprocess.run([*emulator, str(case / "trial")], check=False, timeout=60).returncode


def test_the_golden_streams_are_what_they_were() -> None:
    whole = write_codings(golden.models()) + b"".join(body for _, _, body in golden.bodies())
    assert hashlib.sha256(whole).hexdigest() == GOLDEN


def test_the_golden_split_streams_are_what_they_were() -> None:
    assert hashlib.sha256(b"".join(split_golden.streams())).hexdigest() == SPLIT_GOLDEN


def test_the_golden_split_streams_hold_the_integers_in_several_chunks() -> None:
    for rate, stream in enumerate(split_golden.streams()):
        header = read_header(stream)
        assert header == stream_header(split_golden.SPLIT, rate) and header.chunks == 2
        found = decode(stream, header, partial(PortableCoder, split_golden.MODELS[rate]))
        wanted = integers(split_golden.latents(), split_golden.STEPS[rate], split_golden.SPLIT.highest)
        assert (found.values == wanted).all() and wanted.reshape(-1)[:4].tolist() == [0, 0, 200, -200]
        quotients = split_golden.latents()[:, 1:] / split_golden.STEPS[rate][:, None, None]
        assert np.mean(np.abs(quotients % 1) == 0.5) > 0.05  # where rounding could differ


def test_this_machines_library_makes_them(case: Path, tmp_path: Path) -> None:
    made = linked("host", case, tmp_path)
    assert made.shared is not None
    for rate, shape, body in golden.bodies():
        coder = NativeCoder(made.shared, golden.models()[rate])
        assert coder.encode(golden.values(*shape)) == body
        assert (coder.decode(body, *shape) == golden.values(*shape)).all()
    assert run_bare(c_compiler(load_target("host")).cc, [str(made.archive)], case) == 0


@pytest.mark.parametrize("cpu", ["x86_64_v2", "x86_64_v4"])
def test_other_x86_makes_them(cpu: str, case: Path, tmp_path: Path) -> None:
    """Without vectors of 256 bits, and with those of 512 where this machine has them."""
    library = tmp_path / "coder.so"
    compiler = (
        "cc",
        "-target",
        "x86_64-linux-gnu.2.28",
        f"-mcpu={cpu}",
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-I.",
    )
    wide = "avx512f" in Path("/proc/cpuinfo").read_text()
    invoke(
        (*c_compiler(load_target("host")).cc[:3], *compiler, *OPTIONS, *CODER, "-o", str(library)),
        "building",
        case,
    )
    assert library.is_file()
    for rate, shape, body in golden.bodies() if wide or cpu == "x86_64_v2" else []:
        coder = NativeCoder(library, golden.models()[rate])
        assert coder.encode(golden.values(*shape)) == body
        assert (coder.decode(body, *shape) == golden.values(*shape)).all()


@pytest.mark.parametrize(
    ("board", "emulator"), [("rpi4", "qemu-aarch64-static"), ("riscv64", "qemu-riscv64-static")]
)
def test_a_boards_archive_makes_them(board: str, emulator: str, case: Path, tmp_path: Path) -> None:
    made, target = linked(board, case, tmp_path), load_target(board)
    assert made.shared is not None
    assert {"ep_coding.h", *SENDER_HEADERS} <= {path.name for path in made.headers}
    symbols = read_image(made.shared.read_bytes(), 0).symbols
    exported = {name for name in symbols if any(kind in name for kind in ("cod", "split", "stream"))}
    assert exported == {*(f"ep_coding_{name}" for name in INTERFACE), *SENDER_EXPORTS}
    cpu = ("-cpu", target.toolchain.qemu_cpu) if target.toolchain.qemu_cpu else ()
    assert run_bare(c_compiler(target).cc, [str(made.archive)], case, tool(emulator), *cpu) == 0


@pytest.mark.parametrize(
    ("target", "cpu", "emulator"),
    [
        ("x86_64-linux-gnu.2.28", "x86_64_v2", ()),
        ("arm-linux-musleabihf", "generic+v7a", ("qemu-arm-static", "-cpu", "cortex-a7")),
    ],
)
def test_the_sources_make_them(target: str, cpu: str, emulator: tuple[str, ...], case: Path) -> None:
    cc = (*c_compiler(load_target("host")).cc[:3], "cc", "-target", target, f"-mcpu={cpu}")
    command = (tool(emulator[0]), *emulator[1:]) if emulator else ()
    assert run_bare(cc, [*CODER, *SENDER, NAME], case, *command) == 0


def test_a_microcontrollers_sources_make_them(case: Path, tmp_path: Path) -> None:
    made, cc = linked("cortex-m7", case, tmp_path), c_compiler(load_target("cortex-m7")).cc
    assert {*CODER, *SENDER, NAME} <= {path.name for path in made.sources}
    assert {*CODER_HEADERS, *SENDER_HEADERS} <= {path.name for path in made.headers}
    assert run_bare(cc, [str(made.archive)], case, tool("qemu-arm-static"), "-cpu", "max") == 0


def test_the_webassembly_module_makes_them(case: Path, tmp_path: Path) -> None:
    import wasmtime

    shared = linked("wasm32", case, tmp_path, "trial.c", "split_trial.c").shared
    assert shared is not None
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, shared.read_bytes()), []).exports(store)
    for name in ("ep_trial", "ep_split_trial"):
        run = exports[name]
        assert isinstance(run, wasmtime.Func) and run(store) == 0
    assert {"ep_coding_decode", *SENDER_EXPORTS} <= set(exports)
