"""The measuring protocol, the machine's description, and traces."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepress.bundle import open_bundle
from edgepress.errors import EdgepressError
from edgepress.hardware.feed import example_inputs
from edgepress.hardware.fresh import start_fresh
from edgepress.hardware.layers import read_trace
from edgepress.hardware.machine import this_machine
from edgepress.hardware.measure import Protocol, interval, take_turns


class Clock:
    """A clock that runs on when work is done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.drift = 1.0
        self.calls: list[str] = []

    def work(self, name: str, seconds: float) -> None:
        """Take ``seconds``, longer when the machine has slowed down."""
        self.calls.append(name)
        self.now += seconds * self.drift
        self.drift *= 1.01

    def __call__(self) -> float:
        return self.now


def test_turns_make_a_ratio_that_a_drift_does_not_touch() -> None:
    clock = Clock()
    calls = {"slow": lambda: clock.work("slow", 2e-3), "fast": lambda: clock.work("fast", 1e-3)}
    timings = take_turns(calls, Protocol(runs=50), clock=clock)
    ratio = timings["fast"].ratio_to(timings["slow"], "test")
    assert ratio.value == pytest.approx(0.5, rel=0.01)
    assert len(timings["slow"].runs) == len(timings["fast"].runs) == 50


def test_nobody_always_goes_first() -> None:
    clock = Clock()
    calls = {name: (lambda name=name: clock.work(name, 1e-3)) for name in "ab"}
    take_turns(calls, Protocol(runs=10, warmup=1), clock=clock)
    assert "".join(clock.calls) == "ab" + "aaaaaa" + "bbbbbb" + "bbbbbb" + "aaaaaa"


@pytest.mark.parametrize("seconds", [0.1, 1.0])
def test_for_a_time(seconds: float) -> None:
    clock = Clock()
    timing = take_turns(
        {"a": lambda: clock.work("a", 1e-3)}, Protocol(seconds=seconds, warmup=0), clock=clock
    )["a"]
    assert seconds * 0.8e3 < sum(timing.runs) * 6 / 5 < seconds * 2e3


def test_a_slow_engine_takes_turns_sooner() -> None:
    clock = Clock()
    timing = take_turns({"a": lambda: clock.work("a", 3.0)}, Protocol(runs=50, seconds=10), clock=clock)["a"]
    assert {len(block) for block in timing.blocks} == {1}


def test_figures_say_how_they_were_come_by() -> None:
    clock = Clock()
    timing = take_turns({"a": lambda: clock.work("a", 1e-3)}, Protocol(), clock=clock)["a"]
    least, p50, p90, p99 = timing.figures("here")
    assert least.value == min(timing.runs)
    assert p50.value is not None and p90.value is not None and p99.value is not None
    assert p50.value <= p90.value <= p99.value <= max(timing.runs)
    assert {figure.origin for figure in (p50, p90, p99)} == {"measured"}
    assert p50.how == "50 runs; here"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
def test_an_interval_holds_the_median(values: list[float]) -> None:
    low, high = interval(values)
    assert min(values) <= low <= np.median(values) <= high <= max(values)


def test_a_fresh_process(tiny_bundle: Path) -> None:
    found = start_fresh(tiny_bundle, "main", "ort", 1, False)
    assert 0 < found.first_ms < 60_000
    assert found.load_ms > 0 and found.import_ms > 0
    assert found.peak_bytes > 10 << 20
    assert found.model_bytes is None or 0 <= found.model_bytes < found.peak_bytes


def test_a_fresh_process_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "x.edge").write_bytes(b"no bundle")
    with pytest.raises(EdgepressError, match="no edgepress bundle"):
        start_fresh(tmp_path / "x.edge", "main", "ort", 1, False)


def test_memory_counts_what_is_held() -> None:
    """In a process of its own: here another test may have held more before."""
    code = (
        "import numpy as np; from edgepress.hardware import memory; before = memory.peak();"
        "block = np.ones(64 << 20, np.uint8); held = memory.peak() - before; del block;"
        "print(held > 32 << 20, memory.peak() - before > 32 << 20)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["True", "True"]


def test_example_inputs_fit(tiny_bundle: Path) -> None:
    with open_bundle(tiny_bundle) as bundle:
        found = example_inputs(bundle, "main")
    assert {name: array.shape for name, array in found.items()} == {"image": (1, 3, 16, 16)}


def fake(root: Path, files: dict[str, str]) -> Path:
    """A folder with files, as ``/proc`` and ``/sys`` have them."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    root = fake(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
            "proc/cpuinfo": "processor\t: 0\nModel\t: Raspberry Pi 4\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
            "sys/class/thermal/thermal_zone0/temp": "61234\n",
        },
    )
    machine = this_machine(root)
    assert machine.cpu == "Raspberry Pi 4 Model B Rev 1.4"
    assert (machine.governor, machine.clock_mhz, machine.temperature_c) == ("ondemand", 1800, 61.234)
    assert "governor ondemand" in str(machine)
    assert dataclasses.replace(machine, cores=4, load=2.5).busy
    assert not dataclasses.replace(machine, cores=4, load=1.5).busy
    assert not dataclasses.replace(machine, load=None).busy


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.cores >= 1
    assert (machine.governor, machine.clock_mhz, machine.temperature_c) == ("", None, None)


def test_a_trace() -> None:
    def node(index: int, name: str, microseconds: int) -> dict[str, object]:
        facts = {"node_index": str(index), "op_name": "Conv"}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": facts}

    run = {"cat": "Session", "name": "model_run", "dur": 1, "args": {}}
    events = [node(0, "a", 900), node(1, "b", 900), run]
    for _ in range(3):
        events += [node(0, "a", 30), node(1, "b", 10), run]
    layers = read_trace(events, skip=1)
    assert [(layer.name, layer.ms, layer.share) for layer in layers] == [("a", 0.03, 0.75), ("b", 0.01, 0.25)]
