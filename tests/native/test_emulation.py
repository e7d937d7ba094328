"""The library under unicorn and the static executable under qemu: results, counts, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgepress.errors import BundleError, CheckError
from edgepress.hardware.emulator import counter
from edgepress.hardware.emulator.instructions import describe_instruction
from edgepress.hardware.emulator.qemu import run_static
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.runtimes.native import NativeModel
from edgepress.targets.compilers.link import Linked
from edgepress.targets.load import load_target
from edgepress.tensor import TensorSpec
from tests.native.tiny_model import build, example, expected, weights
from tests.required_tools import tool

PI = load_target("rpi4")
OUTPUTS = (TensorSpec("probabilities", (1, 10)), TensorSpec("hidden", (1, 64)))


def _library(linked: Linked) -> bytes:
    assert linked.shared is not None
    return linked.shared.read_bytes()


def _executable(linked: Linked) -> Path:
    assert linked.executable is not None
    return linked.executable


def test_the_emulated_library_equals_numpy_and_this_machine(pi: Linked, here_library: Path) -> None:
    result = emulate_library(_library(pi), weights(), [example()], PI)
    here = NativeModel(here_library, weights()).run({"x": example()})
    for spec, given in zip(OUTPUTS, result.outputs, strict=True):
        assert given.shape == spec.shape and given.dtype == np.float32
        np.testing.assert_allclose(given, expected(example())[spec.name], rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(given, here[spec.name], rtol=2e-6, atol=1e-6)


def test_the_count_repeats_exactly_and_does_not_depend_on_how_it_is_counted(
    pi: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {emulate_library(_library(pi), weights(), [example()], PI).instructions for _ in range(3)}
    assert len(counts) == 1 and 5_000 < next(iter(counts)) < 50_000
    assert counter._compiled_hook() is not None
    monkeypatch.setattr(counter, "_compiled_hook", lambda: None)
    assert emulate_library(_library(pi), weights(), [example()], PI).instructions in counts


def test_layers_are_counted_apart(pi: Linked) -> None:
    whole = emulate_library(_library(pi), weights(), [example()], PI)
    result = emulate_library(_library(pi), weights(), [example()], PI, layers=True)
    assert [name for name, _ in result.layers] == ["dense", "gelu", "classes", "softmax"]
    counted = sum(count for _, count in result.layers)
    assert 0.9 * whole.instructions < counted <= result.instructions
    assert whole.layers == ()


def test_riscv_is_emulated_too(tmp_path: Path) -> None:
    board = load_target("riscv64")
    library = _library(build(board, tmp_path))
    first, second = (emulate_library(library, weights(), [example()], board) for _ in range(2))
    np.testing.assert_allclose(first.outputs[0], expected(example())["probabilities"], rtol=2e-6, atol=1e-6)
    assert first.instructions == second.instructions


@pytest.fixture(scope="module")
def dot_product(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """The tiny model with one sdot in its softmax."""
    return build("rpi4", tmp_path_factory.mktemp("dot"), define="TINY_DOT_PRODUCT", executable=True)


def test_unicorn_refuses_an_instruction_the_board_lacks(dot_product: Linked) -> None:
    said = r"rpi4 \(cortex-a72\) does not have the instruction sdot \(dotprod\), 4e829420 .*layer softmax"
    with pytest.raises(CheckError, match=said):
        emulate_library(_library(dot_product), weights(), [example()], PI)
    newer = dataclasses.replace(PI, toolchain=dataclasses.replace(PI.toolchain, unicorn_cpu="MAX"))
    assert emulate_library(_library(dot_product), weights(), [example()], newer).instructions > 0


def test_memory_outside_the_buffers_and_endless_runs_are_found(pi: Linked, tmp_path: Path) -> None:
    overrun = _library(build("rpi4", tmp_path, define="TINY_OVERRUN"))
    with pytest.raises(
        CheckError, match=r"writes 0x[0-9a-f]+, which is in none of its buffers.*layer softmax"
    ):
        emulate_library(overrun, weights(), [example()], PI)
    with pytest.raises(CheckError, match=r"did not end within 5000 instructions.*layer gelu"):
        emulate_library(_library(pi), weights(), [example()], PI, limit=5000)


def test_bad_libraries_weights_and_inputs_are_refused(pi: Linked, tmp_path: Path) -> None:
    library = _library(pi)
    for damaged in (b"", b"\x7fELF", library[:600], b"\0" * 4096, library[:64] + b"\xff" * len(library[64:])):
        with pytest.raises(BundleError):
            emulate_library(damaged, weights(), [example()], PI)
    with pytest.raises(BundleError, match="EM_AARCH64 and riscv64 is EM_RISCV"):
        emulate_library(library, weights(), [example()], load_target("riscv64"))
    with pytest.raises(BundleError, match="10 bytes and the model needs 6976"):
        emulate_library(library, weights()[:10], [example()], PI)
    with pytest.raises(CheckError, match="1 inputs and 0 were given"):
        emulate_library(library, weights(), [], PI)
    with pytest.raises(CheckError, match="input x is float32"):
        emulate_library(library, weights(), [example().astype(np.float64)], PI)
    with pytest.raises(CheckError, match="no processor that can be emulated in-process"):
        emulate_library(library, weights(), [example()], load_target("x86-64-v3"))


def test_qemu_runs_the_static_executable(pi: Linked) -> None:
    tool("qemu-aarch64-static")
    outputs = run_static(_executable(pi), weights(), [example()], OUTPUTS, PI)
    assert outputs is not None
    emulated = emulate_library(_library(pi), weights(), [example()], PI).outputs
    for given, wanted in zip(outputs, emulated, strict=True):
        assert given.tobytes() == wanted.tobytes()


def test_qemu_refuses_an_instruction_the_board_lacks(dot_product: Linked) -> None:
    tool("qemu-aarch64-static")
    with pytest.raises(
        CheckError, match=r"rpi4 \(cortex-a72\) does not have the instruction sdot \(dotprod\)"
    ):
        run_static(_executable(dot_product), weights(), [example()], OUTPUTS, PI)
    assert (
        run_static(_executable(dot_product), weights(), [example()], OUTPUTS, load_target("rpi5")) is not None
    )


def test_qemu_tells_why_a_program_failed(pi: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("qemu-aarch64-static")
    with pytest.raises(CheckError, match=r"weights\.bin does not have 6976 bytes"):
        run_static(_executable(pi), b"short", [example()], OUTPUTS, PI)
    with pytest.raises(CheckError, match="256 bytes for hidden and 8 were expected"):
        run_static(_executable(pi), weights(), [example()], (OUTPUTS[0], TensorSpec("hidden", (2,))), PI)
    unknown = dataclasses.replace(PI, toolchain=dataclasses.replace(PI.toolchain, qemu_cpu="cortex-z1"))
    with pytest.raises(CheckError, match="cortex-z1"):
        run_static(_executable(pi), weights(), [example()], OUTPUTS, unknown)
    with pytest.raises(CheckError, match="did not end within"):
        run_static(_executable(pi), weights(), [example()], OUTPUTS, PI, timeout_s=1e-4)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert run_static(_executable(pi), weights(), [example()], OUTPUTS, PI) is None


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (0x4E829420, "sdot (dotprod)"), (0x4F82E020, "sdot (by element) (dotprod)"),
        (0x4E82A420, "smmla (i8mm)"),
        (0x4EA11C20, "4ea11c20"), (0x4E421420, "half-precision vector arithmetic (fullfp16)"),
        (0x04A00000, "a scalable vector instruction (sve)"), (0x00000000, "00000000"),
    ],
)  # fmt: skip
def test_instructions_are_named(word: int, said: str) -> None:
    assert describe_instruction("EM_AARCH64", word.to_bytes(4, "little")).startswith(said)
    assert describe_instruction("EM_X86_64", b"\x0f\x0b") == "0f 0b"
