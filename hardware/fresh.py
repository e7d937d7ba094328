"""Load and run a bundle in a process of its own, where nothing is warm and memory means this model alone.

The parent calls :func:`start_fresh`; the child runs this module and prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from edgepress.errors import EdgepressError
from edgepress.hardware.child import module_command, module_environment

_RUNS = 5  # until the peak no longer grows
_LONGEST = 3600.0


@dataclass(frozen=True)
class FreshStart:
    """One fresh process.

    Attributes:
        import_ms: importing the runtime.
        load_ms: opening the bundle and starting the engine.
        first_ms: the first inference.
        peak_bytes: the most memory that the process held, interpreter and libraries included.
        model_bytes: by how much that passes what it held before the bundle was opened; None where unknown.
    """

    import_ms: float
    load_ms: float
    first_ms: float
    peak_bytes: int
    model_bytes: int | None


def start_fresh(bundle: Path, part: str, engine: str, threads: int, trust: bool) -> FreshStart:
    """Load and run in a new process.

    Raises:
        EdgepressError: the child failed; the message is the child's own.
    """
    task = {
        "bundle": str(bundle.absolute()),
        "part": part,
        "engine": engine,
        "threads": threads,
        "trust": trust,
    }
    command = module_command("edgepress.hardware.fresh", json.dumps(task))
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
            check=False,
            env=module_environment(),
        )
    except subprocess.TimeoutExpired:
        raise EdgepressError(
            f"a fresh process did not run {bundle} within an hour; measure with another engine"
        ) from None
    lines = done.stdout.strip().splitlines()
    try:
        found = json.loads(lines[-1])
    except (IndexError, ValueError):
        cause = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
        raise EdgepressError(
            f"a fresh process could not run {bundle} (exit status {done.returncode}: {cause})"
        ) from None
    if "error" in found:
        raise EdgepressError(found["error"])
    return FreshStart(**found)


def child(arguments: Sequence[str]) -> None:
    """What the new process does."""
    task = json.loads(arguments[0])
    try:
        print(json.dumps(asdict(_measure(Path(task.pop("bundle")), **task))))
    except EdgepressError as error:
        print(json.dumps({"error": str(error)}))


def _measure(path: Path, part: str, engine: str, threads: int, trust: bool) -> FreshStart:
    from edgepress.hardware import memory

    start = time.perf_counter()
    from edgepress.runtimes.session import load_part

    if engine != "aot":
        import edgepress.runtimes.ort  # noqa: F401  (its import is no part of loading)
    imported = time.perf_counter()
    memory.forget_peak()
    before = memory.resident()
    opened = time.perf_counter()
    with load_part(path, part=part, engine=engine, trust=trust, threads=threads) as session:
        loaded = time.perf_counter()
        from edgepress.hardware.feed import example_inputs

        inputs = example_inputs(session.bundle, part)
        ready = time.perf_counter()
        session.run_tensors(inputs)
        first = time.perf_counter()
        for _ in range(_RUNS):
            session.run_tensors(inputs)
        most = memory.peak()
    return FreshStart(
        import_ms=(imported - start) * 1e3,
        load_ms=(loaded - opened) * 1e3,
        first_ms=(first - ready) * 1e3,
        peak_bytes=most,
        model_bytes=max(0, most - before) if before is not None else None,
    )


if __name__ == "__main__":
    child(sys.argv[1:])
