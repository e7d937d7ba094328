"""Which coder a machine gets: the wheel's, one compiled at first use, or the definition in Python."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from edgepress.coding.coder import PortableCoder
from edgepress.coding.table import fit_table
from edgepress.runtimes import coders
from edgepress.runtimes.coder_build import PLATFORMS, file_name
from edgepress.runtimes.native_coder import NativeCoder

CODING = (fit_table(np.arange(-9, 9)),)


@pytest.fixture(autouse=True)
def _found_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))
    coders.coder_library.cache_clear()
    yield
    coders.coder_library.cache_clear()


def test_a_checkout_compiles_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = coders.coder_library()
    assert library is not None and library.is_relative_to(tmp_path / "cache")
    assert isinstance(coders.coder_opener(CODING)(), NativeCoder)
    coders.coder_library.cache_clear()
    monkeypatch.setattr(coders, "compile_coder", lambda *_: pytest.fail("it is there already"))
    assert coders.coder_library() == library


def test_what_a_wheel_brings_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = coders.coder_library()
    assert library is not None
    brought = tmp_path / "prebuilt" / library.name
    brought.parent.mkdir()
    brought.write_bytes(library.read_bytes())
    monkeypatch.setattr(coders, "PREBUILT", brought.parent)
    coders.coder_library.cache_clear()
    assert coders.coder_library() == brought


def test_without_a_library_or_a_compiler_python_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coders, "can_compile", lambda: False)
    assert coders.coder_library() is None
    assert isinstance(coders.coder_opener(CODING)(), PortableCoder)


def test_a_library_that_does_not_load_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLATFORMS:
        (tmp_path / file_name(name)).write_bytes(b"nothing")
    monkeypatch.setattr(coders, "PREBUILT", tmp_path)
    assert coders.coder_library() is None


@pytest.mark.parametrize("error", [OSError("full"), subprocess.CalledProcessError(1, "zig")])
def test_a_compiler_that_fails_is_no_error(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(coders, "compile_coder", fails)
    assert coders.coder_library() is None


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "aarch64", "linux-aarch64"), ("Linux", "armv7l", "linux-armv7l"),
        ("Linux", "armv8l", "linux-armv7l"), ("Linux", "riscv64", "linux-riscv64"),
        ("Darwin", "arm64", "darwin-arm64"), ("Linux", "x86_64", "linux-x86_64"),
    ],
)  # fmt: skip
def test_every_host_has_its_name(
    system: str, machine: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert coders._platforms()[-1] == name


def test_a_machine_without_a_library_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert coders._platforms() == []
