"""Real links for every kind of target, and what comes out of them."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from edgepress.errors import CompileError, MissingExtraError
from edgepress.hardware.emulator.elf import read_image
from edgepress.targets.compilers import zig
from edgepress.targets.compilers.link import Linked, link
from edgepress.targets.load import load_target
from tests.native.tiny_model import FILES, FOLDER, build
from tests.required_tools import tool

EXPORTED = {
    "ep_get_model", "ep_run", "ep_status_text", "ep_profile",
    "ep_pool_serve", "ep_pool_parallel", "ep_pool_workers", "ep_pool_stop",
}  # fmt: skip


@pytest.mark.parametrize("board", ["rpi4", "rpi5", "android-arm64", "riscv64", "x86-64-v3"])
def test_a_library_exports_the_interface_and_needs_nothing(board: str, tmp_path: Path) -> None:
    linked = build(board, tmp_path)
    assert linked.shared is not None and linked.archive is not None and linked.executable is None
    assert linked.archive.read_bytes().startswith(b"!<arch>\n")
    assert {path.name for path in linked.headers} == {"ep.h", "ep_pool.h", "ep_threads.h", "model.h"}
    image = read_image(linked.shared.read_bytes(), 0)  # refuses a library that needs another
    assert set(image.symbols) == EXPORTED
    assert linked.shared.stat().st_size < 16_000


def test_android_gets_pages_of_16_kib(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    shared = build("android-arm64", tmp_path).shared
    assert shared is not None
    with shared.open("rb") as file:
        loads = [s for s in ELFFile(file).iter_segments("PT_LOAD")]
    assert all(segment["p_align"] == 16384 for segment in loads)


@pytest.mark.parametrize("board", ["cortex-m7", "cortex-m55"])
def test_a_microcontroller_gets_sources_that_compile(board: str, tmp_path: Path) -> None:
    linked = build(board, tmp_path)
    assert linked.shared is None and linked.executable is None
    assert linked.archive is not None and linked.archive.stat().st_size > 1000
    assert {path.name for path in linked.sources} == {"model.c", "kernels.c", "ep_run.c"}
    assert all(path.parent == tmp_path for path in (*linked.sources, *linked.headers))


def test_webassembly_gets_a_module_that_runs(tmp_path: Path) -> None:
    linked = build("wasm32", tmp_path)
    assert linked.shared is not None and linked.shared.read_bytes()[:4] == b"\0asm"
    script = (
        "const m = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));"
        "const e = new WebAssembly.Instance(m, {}).exports;"
        "const abi = new Uint32Array(e.memory.buffer)[e.ep_get_model() / 4];"
        "console.log(WebAssembly.Module.imports(m).length, abi, e.ep_run(0, 0, 0, 0, 0));"
    )
    node = shutil.which("node")
    if node is None:
        pytest.skip("platform: node is not here to run the module")
    done = subprocess.run(
        [node, "-e", script, str(linked.shared)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1", "2"]


def test_the_same_files_give_the_same_bytes_wherever_they_lie(pi: Linked, tmp_path: Path) -> None:
    away = tmp_path / "a rather long folder name" / "elsewhere"
    away.mkdir(parents=True)
    for name in ("model.c", "kernels.c", "model.h"):
        shutil.copyfile(FOLDER / name, away / name)
    again = link([away / "model.c", away / "kernels.c"], load_target("rpi4"), tmp_path / "out", "tiny")
    for one, two in [
        (pi.shared, again.shared),
        (pi.archive, again.archive),
        (pi.executable, again.executable),
    ]:
        assert one is not None and two is not None
        assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest()
        assert tempfile.gettempdir().encode() not in one.read_bytes()


def test_a_missing_symbol_is_named(tmp_path: Path) -> None:
    shutil.copyfile(FOLDER / "model.h", tmp_path / "model.h")
    shutil.copyfile(FOLDER / "model.c", tmp_path / "model.c")
    with pytest.raises(CompileError, match=r"linking libtiny\.so for rpi4 failed.*undefined symbol: tiny_"):
        link([tmp_path / "model.c"], load_target("rpi4"), tmp_path / "out", "tiny")
    assert not list((tmp_path / "out").glob("*.so"))


def test_an_error_in_a_source_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "model.c").write_text("int f(void) { return missing; }\n")
    with pytest.raises(
        CompileError, match=r"compiling model\.c for host failed: error: .*'missing'"
    ) as caught:
        link([tmp_path / "model.c"], load_target("host"), tmp_path / "out")
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_absent_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"kernels\.o is missing"):
        link([FILES[0], tmp_path / "kernels.o"], load_target("host"), tmp_path / "out")
    with pytest.raises(CompileError, match="nothing to link"):
        link([], load_target("host"), tmp_path / "out")


def test_without_ziglang_a_system_compiler_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("aarch64-linux-gnu-gcc")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    linked = build("rpi4", tmp_path, executable=True)
    assert linked.compiler == "aarch64-linux-gnu-gcc"
    assert linked.shared is not None and linked.executable is not None
    assert set(read_image(linked.shared.read_bytes(), 0).symbols) == EXPORTED
    host = build("host", tmp_path / "host")
    assert host.shared is not None and ctypes.CDLL(str(host.shared)).ep_get_model
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edgepress\[build\]"):
        link(FILES, load_target("rpi4"), tmp_path / "none")
    with pytest.raises(MissingExtraError, match="ziglang"):
        link(FILES, load_target("android-arm64"), tmp_path / "none")


def test_the_useful_line_of_a_complaint() -> None:
    assert zig.first_useful_line("In file x:\n/a/b.c:2:3: error: no y\nnote: z", 1) == "error: no y"
    assert zig.first_useful_line("", -11) == "the compiler was ended by signal 11"
    assert zig.first_useful_line("", 3) == "the compiler ended with status 3 and no message"


@pytest.mark.parametrize("given", ["ZIG_GLOBAL_CACHE_DIR", "EDGEPRESS_CACHE"])
def test_the_cache_is_where_it_is_asked_for(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZIG_GLOBAL_CACHE_DIR", raising=False)
    monkeypatch.setenv(given, str(tmp_path))
    assert zig.cache_folder() == (tmp_path if given.startswith("ZIG") else tmp_path / "zig")


@pytest.mark.slow
@pytest.mark.parametrize("board", ["riscv64", "x86-64-v3", "wasm32", "android-arm64"])
def test_every_static_executable_links(board: str, tmp_path: Path) -> None:
    linked = build(board, tmp_path, executable=True)
    assert linked.executable is not None and linked.executable.stat().st_size > 10_000


@pytest.mark.slow
def test_a_mac_library_links(tmp_path: Path) -> None:
    host = load_target("host")
    toolchain = dataclasses.replace(
        host.toolchain, zig_target="aarch64-macos", zig_cpu="apple_m1", zig_static_target=""
    )
    target = dataclasses.replace(host, toolchain=toolchain, cpu=dataclasses.replace(host.cpu, arch="aarch64"))
    linked = build(target, tmp_path)
    assert linked.shared is not None and linked.shared.name == "libtiny.dylib"
    assert linked.shared.read_bytes()[:4] == bytes.fromhex("cffaedfe")


@pytest.mark.slow
def test_warming_makes_the_first_link_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "cache"))
    zig.warm_toolchain(load_target("rpi4"))
    started = time.monotonic()
    assert build("rpi4", tmp_path / "out", executable=True).executable is not None
    assert time.monotonic() - started < 20
