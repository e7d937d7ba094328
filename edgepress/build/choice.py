"""Which of the compiled engines the bundle runs on its target, and why."""

from __future__ import annotations

from typing import Any

from edgepress.build import steps
from edgepress.build.engines import KNOWN, LAYERS, Compiled
from edgepress.build.job import Done, Job
from edgepress.build.press import PressedNetwork
from edgepress.bundle.layers import layers_from_bytes
from edgepress.progress import Progress
from edgepress.records import encode


def choose_engine(
    job: Job, network: PressedNetwork, compiled: list[Compiled], golden: Done
) -> tuple[str, str]:
    """The engine to run on the target, and why, in a sentence.

    With a device it is the one that measures fastest; without one, the one that executes fewer instructions
    (counted in the emulator for ``aot``, estimated from published counts for ONNX Runtime), or that its layers'
    kernels make the faster one by estimate.
    """
    engines = {made.engine: made for made in compiled}
    if len(engines) == 1:
        only = compiled[0].engine
        others = "".join(f"; {name} is left out: {reason}" for name, reason in job.left_out.items())
        return only, f"{only} is the only engine for {job.target.name} here{others}"
    if job.recipe.on == "local":
        return _measured(job, network, engines, golden)
    return (
        _counted(job, network, engines)
        or _estimated(job, engines)
        or (
            "ort",
            f"ort is kept: without a device (--on) nothing tells which engine is faster on {job.target.name}",
        )
    )


def _counted(job: Job, network: PressedNetwork, engines: dict[str, Compiled]) -> tuple[str, str] | None:
    """By instructions, where an emulator counted aot's and somebody ONNX Runtime's."""
    from edgepress.hardware.ratios import ort_instructions

    instructions = engines["aot"].facts.get("instructions")
    known = ort_instructions(job.target, bool(network.steps) or network.method == "int8")
    if instructions is None or known is None:
        return None
    macs = engines["aot"].facts["macs"]
    estimate = known.per_mac * macs
    winner = "aot" if instructions < estimate else "ort"
    return winner, (
        f"{winner} is kept by an estimate: aot executes {instructions / 1e6:.3g} M instructions an inference "
        "(emulated), "
        f"ort about {estimate / 1e6:.3g} M ({known.per_mac} for each of {macs / 1e6:.3g} M multiply-adds: {known.how})"
    )


def _estimated(job: Job, engines: dict[str, Compiled]) -> tuple[str, str] | None:
    """By what each layer's kernel is known to reach."""
    from edgepress.hardware.engine_estimate import aot_over_ort

    aot, ort = (layers_from_bytes((engines[name].step.folder / LAYERS).read_bytes(), name) for name in KNOWN)
    ratio = aot_over_ort(aot, ort, engines["aot"].facts["arena_bytes"], job.target, job.peaks())
    if ratio is None or ratio.value is None:
        return None
    winner = "aot" if ratio.value < 1 else "ort"
    return winner, (
        f"{winner} is kept by an estimate: aot takes about {ratio.value:.2g} times the time of ort "
        f"({ratio.how}); --on local measures"
    )


def _measured(
    job: Job, network: PressedNetwork, engines: dict[str, Compiled], golden: Done
) -> tuple[str, str]:
    """Time the engines in turn on this machine; the times go into the lock, not into the bundle."""

    def work(progress: Progress) -> dict[str, Any]:
        from edgepress.build.timing import time_engines

        folders = {name: (made.step.folder, made.facts) for name, made in engines.items()}
        feed, _ = steps.read_golden(golden.folder, network.inputs, network.outputs)[0]
        return {"ms": time_engines(folders, feed, progress)}

    facts = job.measure(
        "time",
        "timing the engines on this machine",
        {"engines": {name: made.step.key for name, made in engines.items()}, "target": encode(job.target)},
        work,
        lambda facts: ", ".join(f"{name} {ms:.2f} ms" for name, ms in facts["ms"].items()),
    )
    winner = min(facts["ms"], key=lambda name: float(facts["ms"][name]))
    return winner, f"{winner} is kept: it measured fastest on this machine, 1 thread"
