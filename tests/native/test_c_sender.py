"""The C example of a split network's device: the bytes that Python makes, on this machine and on an emulated board."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.build.sending import Sending
from edgepress.coding.coder import PortableCoder
from edgepress.coding.split import integers, stream_header
from edgepress.coding.whole import encode
from edgepress.errors import BundleError, CheckError
from edgepress.hardware.emulator.sending import emulate_sender
from edgepress.hardware.emulator.unicorn import emulate_library
from edgepress.runtimes.native import NativeModel
from edgepress.targets.compilers.link import Linked, link
from edgepress.targets.compilers.sender import NAME, sender_source
from edgepress.targets.compilers.tvm import compile_graph
from edgepress.targets.compilers.zig import c_compiler, invoke, static_command
from edgepress.targets.load import load_target
from tests.coding import split_golden
from tests.native.tiny_model import ROOT
from tests.required_tools import tool

Array = np.ndarray[Any, Any]
SPLIT = replace(split_golden.SPLIT, shape=(3, 12, 14), rows=6, columns=7)
EXAMPLE = np.random.default_rng(2).normal(size=(1, *SPLIT.shape)).astype(np.float32)


@dataclass(frozen=True)
class Device:
    """A device's half, linked: the files beside it are ``weights.bin`` and ``x.f32``."""

    folder: Path
    linked: Linked

    @property
    def library(self) -> Path:
        assert self.linked.shared is not None
        return self.linked.shared

    @property
    def weights(self) -> bytes:
        return (self.folder / "weights.bin").read_bytes()


def graph() -> onnx.ModelProto:
    """One convolution: 3×12×14 values to latents of 5×6×7."""
    weights = np.random.default_rng(5).normal(size=(5, 3, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["latents"], strides=[2, 2], pads=[1, 1, 1, 1])
    made = helper.make_graph(
        [node],
        "device",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(EXAMPLE.shape))],
        [helper.make_tensor_value_info("latents", TensorProto.FLOAT, [1, 5, 6, 7])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def device(board: str, folder: Path) -> Device:
    kernels = compile_graph(graph(), load_target(board), folder)
    source = folder / NAME
    source.write_text(sender_source(SPLIT, split_golden.steps(), split_golden.models()))
    units = [kernels.model, kernels.kernels, source]
    image = load_target(board).kind == "microcontroller"
    linked = link(units, load_target(board), folder / "aot", executable=image, sender=True)
    EXAMPLE.tofile(folder / "x.f32")
    shutil.copytree(ROOT / "examples" / "c", folder, dirs_exist_ok=True)
    return Device(folder, linked)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """For this machine, with the example built by its Makefile."""
    tool("cc")
    made = device("host", tmp_path_factory.mktemp("host"))
    command = [tool("make"), "send", "AOT=aot", "CFLAGS=-O2 -std=c11 -Wall -Wextra -Werror"]
    done = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def raspberry(tmp_path_factory: pytest.TempPathFactory) -> Device:
    """For the Raspberry Pi 4."""
    return device("rpi4", tmp_path_factory.mktemp("pi"))


def expected(latents: Array, rate: int) -> bytes:
    sent = integers(latents[0], split_golden.STEPS[rate], SPLIT.highest)
    assert sent.any()
    return encode(stream_header(SPLIT, rate), sent, lambda: PortableCoder(split_golden.MODELS[rate]))


def send(
    made: Device, *command: str, rate: str = "0", out: str = "out.epc"
) -> subprocess.CompletedProcess[str]:
    arguments = [*command, "./send", "weights.bin", "x.f32", rate, out]
    return subprocess.run(arguments, cwd=made.folder, capture_output=True, text=True, check=False, timeout=60)


def test_it_writes_what_python_writes(host: Device) -> None:
    latents = NativeModel(host.library, host.weights).run({"x": EXAMPLE})["latents"]
    for rate in range(2):
        done = send(host, rate=str(rate))
        assert done.returncode == 0, done.stderr
        assert (host.folder / "out.epc").read_bytes() == expected(latents, rate)


def test_it_does_so_on_a_raspberry_pi(raspberry: Device) -> None:
    emulator, board = tool("qemu-aarch64-static"), load_target("rpi4")
    units = ("-Iaot", "send.c", str(raspberry.linked.archive), "-o", "send")
    invoke(
        (*static_command(c_compiler(board), raspberry.folder), *units),
        "linking the example",
        raspberry.folder,
    )
    latents = emulate_library(raspberry.library.read_bytes(), raspberry.weights, [EXAMPLE], board).outputs[0]
    for rate in range(2):
        done = send(raspberry, emulator, "-cpu", board.toolchain.qemu_cpu, rate=str(rate))
        assert done.returncode == 0, done.stderr
        assert (raspberry.folder / "out.epc").read_bytes() == expected(latents, rate)


@pytest.mark.parametrize(
    ("rate", "out", "code", "said"),
    [
        ("2", "x.epc", 1, "no rate 2; there are 0 to 1"),
        ("4294967296", "x.epc", 1, "no rate 4294967296"),
        ("-1", "x.epc", 1, "no rate -1"),
        ("", "x.epc", 2, "usage"),
        ("0x", "x.epc", 2, "usage"),
        ("0", "absent/x.epc", 1, "absent/x.epc cannot be written"),
    ],
)
def test_what_cannot_be_is_said(host: Device, rate: str, out: str, code: int, said: str) -> None:
    done = send(host, rate=rate, out=out)
    assert done.returncode == code and said in done.stderr
    assert not (host.folder / "x.epc").exists()


def check_sender(code: bytes, board: str) -> None:
    """An emulated library's streams are the definition's, their instructions repeat, and what is wrong is refused."""
    latents = np.random.default_rng(4).normal(0, 3, (1, 5, 6, 7)).astype(np.float32)
    sent = emulate_sender(code, latents, 2, load_target(board))
    assert [one.stream for one in sent] == [expected(latents, rate) for rate in range(2)]
    assert all(
        10 * latents.size < one.instructions < 1000 * latents.size and one.opening > 1000 for one in sent
    )
    assert emulate_sender(code, latents, 2, load_target(board)) == sent
    with pytest.raises(CheckError, match="no size for rate 2"):
        emulate_sender(code, latents, 3, load_target(board))
    with pytest.raises(CheckError, match=r"refuses the latents \(-1\)"):
        emulate_sender(code, latents[:, :4], 1, load_target(board))


def test_an_emulated_library_sends_the_same(raspberry: Device) -> None:
    check_sender(raspberry.library.read_bytes(), "rpi4")


def test_an_emulated_microcontroller_sends_the_same(tmp_path: Path) -> None:
    image = device("cortex-m7", tmp_path).linked.image
    assert image is not None
    check_sender(image.read_bytes(), "cortex-m7")


def test_a_build_finds_a_library_that_sends_something_else(raspberry: Device) -> None:
    latents = np.random.default_rng(4).normal(0, 3, (1, 5, 6, 7)).astype(np.float32)
    code, board = raspberry.library.read_bytes(), load_target("rpi4")
    tables: Any = SimpleNamespace(steps=split_golden.STEPS, models=split_golden.models())
    found = Sending(SPLIT, lambda: tables).emulated(code, latents, board)
    assert found["bytes"] == [len(expected(latents, rate)) for rate in range(2)]
    tables.steps = split_golden.STEPS * np.array([[1], [2]], np.float32)
    with pytest.raises(CheckError, match="rpi4 does not send at rate 1"):
        Sending(SPLIT, lambda: tables).emulated(code, latents, board)


def test_a_library_that_sends_nothing_is_refused(pi: Linked) -> None:
    assert pi.shared is not None
    with pytest.raises(BundleError, match="does not have ep_get_split"):
        emulate_sender(pi.shared.read_bytes(), EXAMPLE, 1, load_target("rpi4"))
