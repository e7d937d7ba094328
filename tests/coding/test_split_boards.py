"""Latents become the same stream on every processor: that of the definition."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edgepress.coding.coder import PortableCoder
from edgepress.coding.split import integers, stream_header
from edgepress.coding.stream import read_header
from edgepress.coding.whole import decode
from edgepress.hardware.emulator.elf import read_image
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
from edgepress.targets.compilers.zig import c_compiler
from edgepress.targets.load import load_target
from tests.coding import split_golden
from tests.coding.bare import run_bare
from tests.native.tiny_model import FILES
from tests.required_tools import tool

GOLDEN = "ac975c53bdee026376eb361259fa90836082a056b06bbdc68e3085b79688d32b"
TRIAL = "split_trial.c"


def linked(board: str, case: Path, folder: Path, *more: str) -> Linked:
    files = [*FILES, *(case / name for name in (NAME, *more))]
    return link(files, load_target(board), folder, "tiny", executable=False, sender=True)


def test_the_golden_streams_are_what_they_were() -> None:
    assert hashlib.sha256(b"".join(split_golden.streams())).hexdigest() == GOLDEN


def test_the_golden_streams_hold_the_integers_in_several_chunks() -> None:
    for rate, stream in enumerate(split_golden.streams()):
        header = read_header(stream)
        assert header == stream_header(split_golden.SPLIT, rate) and header.chunks == 2
        found = decode(stream, header, partial(PortableCoder, split_golden.MODELS[rate]))
        wanted = integers(split_golden.latents(), split_golden.STEPS[rate], split_golden.SPLIT.highest)
        assert (found.values == wanted).all() and wanted.reshape(-1)[:4].tolist() == [0, 0, 200, -200]
        quotients = split_golden.latents()[:, 1:] / split_golden.STEPS[rate][:, None, None]
        assert np.mean(np.abs(quotients % 1) == 0.5) > 0.05  # where rounding could differ


@pytest.mark.parametrize(
    ("board", "emulator"), [("rpi4", "qemu-aarch64-static"), ("riscv64", "qemu-riscv64-static")]
)
def test_a_boards_archive_makes_them(board: str, emulator: str, split_case: Path, tmp_path: Path) -> None:
    made, target = linked(board, split_case, tmp_path), load_target(board)
    assert made.shared is not None
    assert {"ep.h", "ep_coding.h", *SENDER_HEADERS} <= {path.name for path in made.headers}
    exported = set(read_image(made.shared.read_bytes(), 0).symbols)
    assert {*SENDER_EXPORTS} == {name for name in exported if "split" in name or "stream" in name}
    cpu = ("-cpu", target.toolchain.qemu_cpu) if target.toolchain.qemu_cpu else ()
    archive, cc = [str(made.archive)], c_compiler(target).cc
    assert run_bare(cc, archive, split_case, tool(emulator), *cpu, trial=TRIAL) == 0


def test_this_machines_archive_makes_them(split_case: Path, tmp_path: Path) -> None:
    archive = [str(linked("host", split_case, tmp_path).archive)]
    assert run_bare(c_compiler(load_target("host")).cc, archive, split_case, trial=TRIAL) == 0


def test_the_sources_make_them_on_any_x86(split_case: Path) -> None:
    cc = (
        *c_compiler(load_target("host")).cc[:3],
        "cc",
        "-target",
        "x86_64-linux-gnu.2.28",
        "-mcpu=x86_64_v2",
    )
    assert run_bare(cc, [*CODER, *SENDER, NAME], split_case, trial=TRIAL) == 0


def test_the_sources_make_them_on_armv7(split_case: Path) -> None:
    cc = (
        *c_compiler(load_target("host")).cc[:3],
        "cc",
        "-target",
        "arm-linux-musleabihf",
        "-mcpu=generic+v7a",
    )
    units, emulator = [*CODER, *SENDER, NAME], tool("qemu-arm-static")
    assert run_bare(cc, units, split_case, emulator, "-cpu", "cortex-a7", trial=TRIAL) == 0


def test_a_microcontrollers_sources_make_them(split_case: Path, tmp_path: Path) -> None:
    made, cc = linked("cortex-m7", split_case, tmp_path), c_compiler(load_target("cortex-m7")).cc
    assert {*CODER, *SENDER, NAME} <= {path.name for path in made.sources}
    assert {*CODER_HEADERS, *SENDER_HEADERS} <= {path.name for path in made.headers}
    archive, emulator = [str(made.archive)], tool("qemu-arm-static")
    assert run_bare(cc, archive, split_case, emulator, "-cpu", "max", trial=TRIAL) == 0


def test_the_webassembly_module_makes_them(split_case: Path, tmp_path: Path) -> None:
    import wasmtime

    shared = linked("wasm32", split_case, tmp_path, TRIAL).shared
    assert shared is not None
    store = wasmtime.Store()
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, shared.read_bytes()), []).exports(store)
    run = exports["ep_trial"]
    assert isinstance(run, wasmtime.Func) and run(store) == 0
    assert isinstance(exports["ep_split_encode"], wasmtime.Func)
