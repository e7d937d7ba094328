"""Compare this engine with the engines that a user could pick instead, side by side on this machine.

    python -m tests.benchmarks.peers --networks lite0,mobilenetv2@160,mobilenetv2@224x0.75 --out results.json

What is measured is computing alone: inputs lie ready, outputs stay where they are. Engines take turns in
short blocks, each in a process of its own; inputs rotate; outputs are checked first. It needs the extras
build and bench. The exit status is 1, and the last line says "incomplete", unless every engine asked for ran
every case in the precision and on the threads asked for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from edgepress.errors import EdgepressError
from edgepress.hardware.hwbench import Peak, Peaks, keep_peaks, kept_peaks, measure_peaks
from edgepress.hardware.machine import this_machine
from edgepress.targets.detect import usable_cores
from tests.benchmarks.peers.plot import draw
from tests.benchmarks.peers.report import OURS, Case, as_data, as_text, problems
from tests.benchmarks.peers.rounds import SHARED, Protocol, run_case
from tests.benchmarks.peers.task import PRECISIONS, Task

ENGINES = (OURS, "ort", "openvino", "litert", "executorch", "ncnn")
GROUPS = {
    "all": "lite0,mobilenetv2,resnet18,encoder,decoder",
    "sizes": "mobilenetv2@160,mobilenetv2@192,mobilenetv2@225,mobilenetv2@224x0.75",
}
_NETWORK = re.compile(r"([a-z0-9]+)(?:@(\d+)(?:x(\d*\.?\d+))?)?\Z")


def main() -> int:
    """Measure what the command line asks for, and print it."""
    arguments = _arguments()
    protocol = Protocol(arguments.rounds, arguments.runs, arguments.pin, dict(arguments.python))
    before = this_machine()
    peaks = _peaks(arguments.threads)
    print(before)
    if before.busy:
        print(
            "the machine is busy with other work: times are longer than on a quiet one, ratios less certain"
        )
    cases, data = [], []
    for name, precision, threads in itertools.product(
        arguments.networks, arguments.precision, arguments.threads
    ):
        case = _measure(name, precision, threads, arguments.peers, protocol)
        cases.append(case)
        data.append(as_data(case, peaks))
        print("\n" + as_text(case, peaks), flush=True)
        if arguments.out is not None:
            _write(arguments.out, before, data, peaks, problems(cases))
    if arguments.plot is not None:
        draw(data, arguments.plot)
    missing = problems(cases)
    missing += [f"{name} was not asked for" for name in ENGINES if name not in arguments.peers]
    print("\n" + "\n".join(["incomplete:", *missing] if missing else ["complete"]))
    return 1 if missing else 0


def _measure(
    name: tuple[str, int, float], precision: str, threads: int, engines: list[str], protocol: Protocol
) -> Case:
    from tests.benchmarks.peers.graphs import prepare
    from tests.benchmarks.peers.networks import network

    made = network(*name)
    task = Task(*name, precision, threads, str(prepare(made)))

    def say(text: str) -> None:
        print(f"[{text}]", file=sys.stderr, flush=True)

    entries, together = run_case(task, engines, protocol, say)
    return Case(made.name, task, tuple(entries), tuple(together))


def _peaks(threads: list[int]) -> Peaks | None:
    """This machine's peaks, measured now where none are kept or those make no sense; None where that fails."""
    found = kept_peaks()
    counts = tuple({1, usable_cores(), *(n for n in threads if n <= usable_cores())})
    if found is None or not all(_plausible(found, n) for n in counts):
        try:
            measured = measure_peaks(counts)
            found = measured if found is None else higher(found, measured)
            keep_peaks(found)
        except EdgepressError as error:
            print(f"[no share of the peak: {error}]", file=sys.stderr)
    return found


def _plausible(peaks: Peaks, threads: int) -> bool:
    """Whether these threads had cores of their own when they were measured, and one thread had all of its own."""
    ratio = peaks.at(threads).fp32 / peaks.at(1).fp32
    return SHARED * threads <= ratio <= threads / SHARED


def higher(first: Peaks, second: Peaks) -> Peaks:
    """The higher of two measurements, figure by figure: other work only ever lowers one."""
    counts = sorted({peak.threads for peak in (*first.peaks, *second.peaks)})
    both = []
    for count in counts:
        a, b = first.at(count), second.at(count)
        reads = [
            replace(x, bandwidth=max(x.bandwidth, y.bandwidth))
            for x, y in zip(a.caches, b.caches, strict=False)
        ]
        both.append(
            Peak(count, max(a.fp32, b.fp32), max(a.int8, b.int8), max(a.bandwidth, b.bandwidth), tuple(reads))
        )
    return replace(second, peaks=tuple(both))


def _write(
    path: Path, machine: object, data: list[dict[str, object]], peaks: Peaks | None, missing: list[str]
) -> None:
    whole = {
        "machine": str(machine),
        "load_after": this_machine().load,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "peaks": asdict(peaks) if peaks is not None else None,
        "complete": not missing,
        "incomplete": missing,
        "cases": data,
    }
    path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.peers", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("--peers", type=_list, default=list(ENGINES), metavar="A,B", help=f"of {','.join(ENGINES)}; all")
    add("--networks", type=_networks, default=_networks("all"), metavar="A,B",
        help="mobilenetv2 takes @SIZE or @SIZExWIDTH; 'all' is five networks, 'sizes' four of MobileNetV2")  # fmt: skip
    add("--precision", type=_list, default=list(PRECISIONS), metavar="A,B", help="fp32,int8")
    add(
        "--threads",
        type=lambda text: [int(n) for n in _list(text)],
        default=[1, 2],
        metavar="N,M",
        help="1,2",
    )
    add("--rounds", type=int, default=30, help="each engine has one block in each (30)")
    add("--runs", type=int, default=5, help="in a block, after one that is not counted (5)")
    add("--no-pin", dest="pin", action="store_false", help="let engines use more cores than threads")
    add("--python", action="append", default=[], type=_pair, metavar="PEER=PATH",
        help="the interpreter of an environment that has the engine")  # fmt: skip
    add("--out", type=Path, help="JSON, written after every case")
    add("--plot", type=Path, help="a picture, by matplotlib")
    found = parser.parse_args()
    for given, known, what in ((found.peers, ENGINES, "engine"), (found.precision, PRECISIONS, "precision")):
        for name in given:
            if name not in known:
                parser.error(f"no {what} {name!r}; there are {', '.join(known)}")
    if found.rounds < 1 or found.runs < 1 or min(found.threads) < 1:
        parser.error("--rounds, --runs and --threads are at least 1")
    return found


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _networks(text: str) -> list[tuple[str, int, float]]:
    from tests.benchmarks.peers.networks import MORE, NAMES

    found = []
    for word in _list(",".join(GROUPS.get(word, word) for word in _list(text))):
        match = _NETWORK.match(word)
        if match is None or match[1] not in NAMES + MORE or (match[2] and match[1] != "mobilenetv2"):
            raise argparse.ArgumentTypeError(f"no network {word!r}; there are {', '.join(NAMES + MORE)}")
        found.append((match[1], int(match[2] or 224), float(match[3] or 1.0)))
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    return name, path


if __name__ == "__main__":
    sys.exit(main())
