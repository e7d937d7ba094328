"""The peaks of this machine: measured with tiny buffers, since only their form is tested."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path

import pytest

from edgepress.errors import CompileError, MissingExtraError, StorageError
from edgepress.hardware import hwbench
from edgepress.hardware.hwbench import (
    Peak,
    Peaks,
    keep_peaks,
    kept_peaks,
    measure_peaks,
    peaks_file,
    peaks_of,
)
from edgepress.hardware.machine import this_machine
from edgepress.targets import load_target
from edgepress.targets.compilers.zig import first_useful_line


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hwbench, "_SECONDS", 0.002)
    monkeypatch.setattr(hwbench, "_TRIALS", 3)
    monkeypatch.setattr(hwbench, "_BUFFER", 1 << 20)


@pytest.mark.usefixtures("quick")
def test_measured_kept_and_read_again() -> None:
    assert kept_peaks() is None
    found = measure_peaks((1, 2))
    assert [peak.threads for peak in found.peaks] == [1, 2]
    assert found.vector_bytes in (16, 32, 64) and found.int8_instruction
    for peak in found.peaks:
        # No processor does fewer than 100 million, nor more than a petaoperation, a second.
        reads = [cache.bandwidth for cache in peak.caches]
        assert all(1e8 < figure < 1e15 for figure in (peak.fp32, peak.int8, peak.bandwidth, *reads))
        sizes = [cache.bytes for cache in peak.caches]
        assert sizes == sorted(set(sizes))
    assert keep_peaks(found) == peaks_file()
    assert kept_peaks() == found


@pytest.mark.usefixtures("quick")
def test_a_boards_own_instructions_are_measured() -> None:
    runs = set(load_target("x86-64-v3").cpu.features) <= set(load_target("host").cpu.features)
    found = measure_peaks((1,), board="x86-64-v3" if runs else "host")
    assert (found.vector_bytes == 32 and "vpmaddubsw" in found.int8_instruction) or not runs


def test_what_was_not_measured_follows_from_one_thread() -> None:
    peaks = Peaks("a processor", 64, "dot", (Peak(1, 100.0, 400.0, 10.0), Peak(4, 380.0, 1500.0, 25.0)))
    assert peaks.at(4) == peaks.peaks[1]
    assert peaks.at(2) == Peak(2, 200.0, 800.0, 25.0)
    assert peaks.at(9).fp32 == 400.0


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"form": 2}', '{"form": 99, "cpu": "x"}', '{"form": 2, "cpu": "x", "peaks": []}']
)
def test_a_damaged_file_counts_as_none(text: str) -> None:
    peaks_file().parent.mkdir(parents=True)
    peaks_file().write_text(text)
    assert kept_peaks() is None


def test_peaks_serve_the_machine_that_they_were_measured_on() -> None:
    assert peaks_of(load_target("host")) is None
    keep_peaks(Peaks(this_machine().cpu, 64, "dot", (Peak(1, 1.0, 1.0, 1.0),)))
    assert peaks_of(load_target("host")) == kept_peaks() is not None
    assert peaks_of(load_target("rpi4")) is None or this_machine().arch == "aarch64"
    host = load_target("host")
    same = dataclasses.replace(host, kind="linux", name="mine")
    assert peaks_of(same) == kept_peaks()
    narrow = dataclasses.replace(
        same, cpu=dataclasses.replace(host.cpu, vector_bits=8 * host.cpu.vector_bits)
    )
    assert peaks_of(narrow) is None


def test_another_processors_file_counts_as_none() -> None:
    keep_peaks(Peaks("another processor", 64, "dot", (Peak(1, 1.0, 1.0, 1.0),)))
    assert json.loads(peaks_file().read_text())["cpu"] == "another processor"
    assert kept_peaks() is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="EDGEPRESS_CACHE"):
        keep_peaks(Peaks("x", 64, "dot", (Peak(1, 1.0, 1.0, 1.0),)))


@pytest.mark.usefixtures("quick")
def test_no_compiler_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"edgepress\[build\]"):
        measure_peaks((1,))


@pytest.mark.usefixtures("quick")
def test_a_library_that_does_not_load_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        return first_useful_line("", 0)

    monkeypatch.setattr("edgepress.targets.compilers.zig.invoke", broken)
    with pytest.raises(CompileError, match="cannot be loaded"):
        measure_peaks((1,))


def test_all_threads_work_at_the_same_time() -> None:
    inside = threading.Barrier(3)
    assert hwbench._together(lambda rounds, thread: inside.wait(10), 1, 3) < 10
