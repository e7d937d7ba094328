"""A microcontroller's image in the process and on QEMU's boards: results, counts, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgepress.errors import BundleError, CheckError
from edgepress.hardware.emulator import counter
from edgepress.hardware.emulator.board import run_image
from edgepress.hardware.emulator.elf import read_image
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.targets.compilers.link import Linked, link
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.zig import c_compiler
from edgepress.targets.load import load_target
from edgepress.tensor import TensorSpec
from tests.compilers.running import random_inputs, reference
from tests.native.small_graph import small_graph
from tests.native.tiny_model import FOLDER, build, example, expected, weights
from tests.required_tools import tool

M7 = load_target("cortex-m7")
OUTPUTS = (TensorSpec("probabilities", (1, 10)), TensorSpec("hidden", (1, 64)))


def _image(linked: Linked) -> Path:
    assert linked.image is not None
    return linked.image


@pytest.fixture(scope="module")
def m7(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _image(build(M7, tmp_path_factory.mktemp("m7"), executable=True)).read_bytes()


def test_the_image_is_for_checking_and_comes_beside_what_ships(tmp_path: Path) -> None:
    linked = build(M7, tmp_path, executable=True)
    shipped = (linked.archive, linked.shared, linked.executable, *linked.sources, *linked.headers)
    assert _image(linked).name == "tiny.elf" and linked.image not in shipped
    assert build(M7, tmp_path / "without").image is None


def test_the_emulated_code_equals_numpy(m7: bytes) -> None:
    result = emulate_library(m7, weights(), [example()], M7)
    for spec, given in zip(OUTPUTS, result.outputs, strict=True):
        np.testing.assert_allclose(given, expected(example())[spec.name], rtol=2e-6, atol=1e-6)


def test_the_count_repeats_exactly_however_it_is_counted(m7: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {emulate_library(m7, weights(), [example()], M7).instructions for _ in range(3)}
    assert len(counts) == 1 and 5_000 < next(iter(counts)) < 100_000
    monkeypatch.setattr(counter, "_compiled_hook", lambda: None)
    assert emulate_library(m7, weights(), [example()], M7).instructions in counts


def test_instructions_of_two_and_of_four_bytes_count_one_each() -> None:
    unicorn = pytest.importorskip("unicorn")
    constants = pytest.importorskip("unicorn.arm_const")
    uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
    uc.ctl_set_cpu_model(constants.UC_CPU_ARM_CORTEX_M7)
    uc.mem_map(0x10000, 0x1000)
    uc.mem_write(0x10000, bytes.fromhex("00bfaff3008000bfaff30080"))  # nop, nop.w, nop, nop.w
    counted = counter.attach_counter(unicorn, uc, 0, 1000)
    uc.emu_start(0x10001, 0x1000C)
    assert counted.count == 4


def test_layers_are_counted_apart(m7: bytes) -> None:
    result = emulate_library(m7, weights(), [example()], M7, layers=True)
    assert [name for name, _ in result.layers] == ["dense", "gelu", "classes", "softmax"]
    assert 0.9 * result.instructions < sum(count for _, count in result.layers) <= result.instructions


def test_floats_are_computed_by_the_processor(m7: bytes) -> None:
    helpers = {"__aeabi_fadd", "__aeabi_fmul", "__aeabi_fcmplt", "__addsf3", "__mulsf3"}
    assert not helpers & {name for name, _, _ in read_image(m7, 0x6000_0000).functions}


@pytest.fixture(scope="module")
def helium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with one instruction of the Cortex-M55 in its softmax, for a Cortex-M7."""
    folder = tmp_path_factory.mktemp("helium")
    for name in ("model.c", "model.h"):
        shutil.copyfile(FOLDER / name, folder / name)
    source = (FOLDER / "kernels.c").read_text()
    vadd = '__asm__ volatile(".inst.w 0xef200840"); /* vadd.i32 q0, q0, q0 */'
    (folder / "kernels.c").write_text(source.replace("float copy[64];", f"float copy[64]; {vadd}"))
    return _image(link([folder / "model.c", folder / "kernels.c"], M7, folder / "out", "tiny"))


def test_an_instruction_that_the_processor_lacks_is_refused(helium: Path) -> None:
    said = r"cortex-m7 \(cortex-m7\) does not have the instruction 20 ef 40 08 .*\(in layer softmax\)"
    with pytest.raises(CheckError, match=said):
        emulate_library(helium.read_bytes(), weights(), [example()], M7)


def test_a_write_outside_the_buffers_is_refused(tmp_path: Path) -> None:
    overrun = _image(build(M7, tmp_path, define="TINY_OVERRUN", executable=True)).read_bytes()
    with pytest.raises(CheckError, match=r"writes 0x\w+, which is in none of its buffers.*layer softmax"):
        emulate_library(overrun, weights(), [example()], M7)


def test_a_run_that_does_not_end_is_ended(m7: bytes) -> None:
    with pytest.raises(CheckError, match="did not end within 2000 instructions"):
        emulate_library(m7, weights(), [example()], M7, limit=2000)


def test_a_corrupt_image_is_refused_in_one_sentence(m7: bytes, pi: Linked) -> None:
    assert pi.shared is not None
    section_table = bytearray(m7)
    section_table[32:36] = b"\xff\xff\xff\x7f"
    relocatable = bytearray(m7)
    relocatable[16] = 1
    low = bytearray(m7)  # every segment below the board's memory
    start = int.from_bytes(m7[28:32], "little")
    for i in range(int.from_bytes(m7[44:46], "little")):
        at = start + 32 * i + 8
        low[at : at + 4] = b"\0\0\1\0"
    for damaged in (b"", m7[:40], m7[:2000], bytes(section_table), bytes(relocatable), bytes(low)):
        with pytest.raises(BundleError) as caught:
            emulate_library(damaged, weights(), [example()], M7)
        assert "\n" not in str(caught.value)
    with pytest.raises(BundleError, match="EM_AARCH64"):
        emulate_library(pi.shared.read_bytes(), weights(), [example()], M7)
    with pytest.raises(BundleError, match="weights have 10 bytes"):
        emulate_library(m7, weights()[:10], [example()], M7)


def test_a_compiled_graph_gives_what_onnx_runtime_gives(tmp_path: Path) -> None:
    model = small_graph()
    kernels = compile_graph(model, M7, tmp_path)
    linked = link([kernels.model, kernels.kernels], M7, tmp_path / "out")
    feed = random_inputs(kernels.inputs)
    stored = kernels.weights.read_bytes()
    result = emulate_library(_image(linked).read_bytes(), stored, list(feed.values()), M7)
    for given, wanted in zip(result.outputs, reference(model, feed).values(), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["cortex-m7", "cortex-m55"])
def test_qemu_runs_the_image_on_a_whole_board(name: str, tmp_path: Path) -> None:
    tool("qemu-system-arm")
    board = load_target(name)
    image = _image(build(board, tmp_path, executable=True))
    outputs = run_image(image, weights(), [example()], OUTPUTS, board)
    assert outputs is not None
    for spec, given in zip(OUTPUTS, outputs, strict=True):
        np.testing.assert_allclose(given, expected(example())[spec.name], rtol=2e-6, atol=1e-6)
    with pytest.raises(CheckError, match=r"failed on QEMU's mps.*: weights\.bin"):
        run_image(image, b"short", [example()], OUTPUTS, board)
    with pytest.raises(CheckError, match="did not end"):
        run_image(image, weights(), [example()], OUTPUTS, board, timeout_s=1e-4)


def test_helium_code_has_no_gathers() -> None:
    """With them clang 22.1.8 gives a small int8 convolution a loop of two thousand million rounds."""
    flag = "-enable-arm-maskedgatscat=false"
    assert flag in c_compiler(load_target("cortex-m55")).cc and flag not in c_compiler(M7).cc


def test_helium_code_gives_what_onnx_runtime_gives(tmp_path: Path) -> None:
    tool("qemu-system-arm")
    model, board = small_graph(), load_target("cortex-m55")
    kernels = compile_graph(model, board, tmp_path)
    image = _image(link([kernels.model, kernels.kernels], board, tmp_path / "out"))
    feed = random_inputs(kernels.inputs)
    stored = kernels.weights.read_bytes()
    outputs = run_image(image, stored, list(feed.values()), kernels.outputs, board, timeout_s=60)
    assert outputs is not None
    for given, wanted in zip(outputs, reference(model, feed).values(), strict=True):
        np.testing.assert_allclose(given, wanted, rtol=1e-5, atol=1e-5)


def test_qemu_names_an_instruction_that_the_processor_lacks(helium: Path) -> None:
    tool("qemu-system-arm")
    with pytest.raises(CheckError, match="the processor does not have the instruction ef200840 at 0x6"):
        run_image(helium, weights(), [example()], OUTPUTS, M7)


def test_what_does_not_fit_the_board_is_not_run(helium: Path) -> None:
    tool("qemu-system-arm")
    assert run_image(helium, weights(), [example()], OUTPUTS, M7, arena_bytes=1 << 24) is None


def test_without_qemu_nothing_is_run(m7: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    (tmp_path / "tiny.elf").write_bytes(m7)
    assert run_image(tmp_path / "tiny.elf", weights(), [example()], OUTPUTS, M7) is None
