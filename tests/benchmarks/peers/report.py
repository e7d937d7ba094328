"""What was measured: as data, as text, and whether it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgepress.cli.table import columns
from edgepress.hardware.hwbench import Peak, Peaks
from tests.benchmarks.peers.cores import Together
from tests.benchmarks.peers.rounds import Entry
from tests.benchmarks.peers.statistic import Figure, median, ratio
from tests.benchmarks.peers.task import Task

OURS = "aot"


@dataclass(frozen=True)
class Case:
    """A task, what each engine did with it, and what the cores did together in each round."""

    label: str
    task: Task
    entries: tuple[Entry, ...]
    together: tuple[Together, ...] = ()

    @property
    def best_peer(self) -> Entry | None:
        """The peer with the least median, of those that are as accurate as ONNX Runtime in this precision."""
        peers = [e for e in self.entries if e.seconds and e.engine != OURS and _as_accurate(e)]
        return min(peers, key=lambda entry: median(entry.seconds).value, default=None)


def problems(cases: Sequence[Case]) -> list[str]:
    """Why the comparison is incomplete; empty where every engine ran every case as asked."""
    return [
        f"{case.label} {case.task.precision}, {case.task.threads} thread(s): {entry.engine}: {entry.problem}"
        for case in cases
        for entry in case.entries
        if entry.problem
    ]


def as_data(case: Case, peaks: Peaks | None) -> dict[str, Any]:
    """One case as JSON-ready data."""
    facts = case.task.facts
    best = case.best_peer
    engines = {}
    for entry in case.entries:
        data = asdict(entry)
        del data["engine"]
        data["rounds_ms"] = [[round(1e3 * run, 5) for run in block] for block in data.pop("seconds")]
        if entry.seconds:
            time = median(entry.seconds)
            data["median_ms"] = _scaled(time, 1e3)
            data["least_ms"] = 1e3 * min(run for block in entry.seconds for run in block)
            if best is not None:
                data["ratio_to_best_peer"] = asdict(ratio(entry.seconds, best.seconds))
            if peaks is not None:
                data["share_of_peak"], data["share_of_bandwidth"] = _shares(case, time, peaks)
        engines[entry.engine] = data
    return {
        "network": case.label, "precision": case.task.precision, "threads": case.task.threads,
        "macs": facts["macs"], "weight_bytes": facts["weight_bytes"][case.task.precision],
        "best_peer": best.engine if best else None,
        "cores": [asdict(found) for found in case.together], "engines": engines,
    }  # fmt: skip


def as_text(case: Case, peaks: Peaks | None) -> str:
    """One case as a table, fastest first."""
    facts, best = case.task.facts, case.best_peer
    head = (
        f"{case.label}, {case.task.precision}, {case.task.threads} thread(s): {facts['macs'] / 1e6:.1f} M "
        f"multiply-adds, {facts['weight_bytes'][case.task.precision] / 1e6:.1f} MB of weights"
    )
    if case.together:
        scaling, trips = _extent(case.together, "scaling", 2), _extent(case.together, "round_trip_ns", 0)
        head += f"\n  the cores did {scaling} times one core's work, {trips} ns from one to another and back"
    rows = [["engine", "median ms", "95 % interval", "to best peer", "95 % interval", "of peak", "of bandwidth",
             "worst", "dB to fp32", "note"]]  # fmt: skip
    ran = sorted((e for e in case.entries if e.seconds), key=lambda entry: median(entry.seconds).value)
    for entry in ran:
        time, found = median(entry.seconds), entry.comparison
        against = ratio(entry.seconds, best.seconds) if best is not None else None
        peak, bandwidth = _shares(case, time, peaks) if peaks is not None else (None, None)
        assert found is not None
        own = "its own quantisation" if entry.own_model else ""
        less = "" if _as_accurate(entry) else "less accurate, so no peer to compare with"
        note = "; ".join(filter(None, (own, less, entry.note)))
        rows.append([
            entry.engine, f"{1e3 * time.value:.3f}", f"{1e3 * time.low:.3f} to {1e3 * time.high:.3f}",
            f"{against.value:.3f}" if against else "", f"{against.low:.3f} to {against.high:.3f}" if against else "",
            f"{peak:.0%}" if peak is not None else "", f"{bandwidth:.0%}" if bandwidth is not None else "",
            f"{found.worst:.1e}" if found.steps is None else f"{found.steps:.1f} steps",
            f"{found.noise_db:.1f}", note,
        ])  # fmt: skip
    lines = [head, columns(rows, right=range(1, 9), indent="  ")] if ran else [head]
    lines += [f"  {entry.engine}: incomplete: {entry.problem}" for entry in case.entries if entry.problem]
    return "\n".join(lines)


def _as_accurate(entry: Entry) -> bool:
    return entry.comparison is None or entry.comparison.as_accurate


def _extent(found: Sequence[Together], name: str, digits: int) -> str:
    values = [getattr(one, name) for one in found]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _shares(case: Case, time: Figure, peaks: Peaks) -> tuple[float, float]:
    """Of the peak of operations, and of the memory's bandwidth if every weight came from there."""
    facts, peak = case.task.facts, peaks.at(case.task.threads)
    operations = 2.0 * facts["macs"] / time.value
    read = facts["weight_bytes"][case.task.precision] / time.value
    return operations / _roof(case, peak), read / peak.bandwidth


def _roof(case: Case, peak: Peak) -> float:
    return peak.fp32 if case.task.precision == "fp32" else peak.int8


def _scaled(figure: Figure, factor: float) -> dict[str, float]:
    return {name: factor * value for name, value in asdict(figure).items()}
