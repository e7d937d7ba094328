"""Streams made on one processor decode to the same integers on all others, and come out as the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edgepress.coding.frozen import write_codings
from edgepress.hardware.emulator.elf import read_image
from edgepress.runtimes.native_coder import NativeCoder
from edgepress.targets.compilers.link import CODER, CODER_HEADERS, Linked, link
from edgepress.targets.compilers.zig import OPTIONS, c_compiler, invoke
from edgepress.targets.load import load_target
from tests.coding import golden
from tests.coding.bare import run_bare
from tests.native.tiny_model import FILES
from tests.required_tools import tool

INTERFACE = ("bytes", "open", "channels", "scratch", "most_bytes", "encode", "decode")
GOLDEN = "122fd0ab6bc5075b3f325697645e95922767b0e7fa1f54de5ca9ad0114470167"


def linked(board: str, folder: Path, more: tuple[Path, ...] = ()) -> Linked:
    return link([*FILES, *more], load_target(board), folder, "tiny", executable=False, coder=True)


def test_the_golden_streams_are_what_they_were() -> None:
    whole = write_codings(golden.models()) + b"".join(body for _, _, body in golden.bodies())
    assert hashlib.sha256(whole).hexdigest() == GOLDEN


def test_this_machines_library_makes_them(tmp_path: Path) -> None:
    shared = linked("host", tmp_path).shared
    assert shared is not None
    for rate, shape, body in golden.bodies():
        coder = NativeCoder(shared, golden.models()[rate])
        assert coder.encode(golden.values(*shape)) == body
        assert (coder.decode(body, *shape) == golden.values(*shape)).all()


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
    made, target = linked(board, tmp_path), load_target(board)
    assert made.shared is not None and "ep_coding.h" in {path.name for path in made.headers}
    exported = {name for name in read_image(made.shared.read_bytes(), 0).symbols if "cod" in name}
    assert exported == {f"ep_coding_{name}" for name in INTERFACE}
    cpu = ("-cpu", target.toolchain.qemu_cpu) if target.toolchain.qemu_cpu else ()
    assert run_bare(c_compiler(target).cc, [str(made.archive)], case, tool(emulator), *cpu) == 0


def test_the_sources_make_them_on_armv7(case: Path) -> None:
    cc = (
        *c_compiler(load_target("host")).cc[:3],
        "cc",
        "-target",
        "arm-linux-musleabihf",
        "-mcpu=generic+v7a",
    )
    assert run_bare(cc, list(CODER), case, tool("qemu-arm-static"), "-cpu", "cortex-a7") == 0


def test_a_microcontrollers_sources_make_them(case: Path, tmp_path: Path) -> None:
    made, cc = linked("cortex-m7", tmp_path), c_compiler(load_target("cortex-m7")).cc
    assert {*CODER} <= {path.name for path in made.sources}
    assert {*CODER_HEADERS} <= {path.name for path in made.headers}
    assert run_bare(cc, [str(made.archive)], case, tool("qemu-arm-static"), "-cpu", "max") == 0


def test_the_webassembly_module_makes_them(case: Path, tmp_path: Path) -> None:
    import wasmtime

    shared = linked("wasm32", tmp_path, (case / "trial.c",)).shared
    assert shared is not None
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, shared.read_bytes()), []).exports(store)
    run = exports["ep_trial"]
    assert isinstance(run, wasmtime.Func) and run(store) == 0
    assert isinstance(exports["ep_coding_decode"], wasmtime.Func)
