"""Compile the network for each engine that the target names, and check what comes out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.build import steps
from edgepress.build.job import Done, Job
from edgepress.build.press import PressedNetwork
from edgepress.build.reference import TOLERANCE
from edgepress.build.sending import sent_by, stream_check
from edgepress.build.tuning import tiles_for
from edgepress.bundle import Check
from edgepress.bundle.layers import layers_to_bytes
from edgepress.errors import CheckError, CompileError, MissingExtraError, SourceError, UsageError
from edgepress.metrics.difference import magnitude, worst_difference
from edgepress.records import encode, near
from edgepress.samples import Feed
from edgepress.targets.compilers.sender import NAME
from edgepress.targets.features import takes_two_bits

KNOWN = ("aot", "ort")
LAYERS = "layers.json"  # beside the kernels
MOST_STEPS = 2.0  # of a quantised output
ROUNDED, TWO_BIT = 0.02, 0.1  # of the largest value of a float output
AGREEMENT = 0.999  # of the symbols that are sent, which must be the same


@dataclass(frozen=True)
class Compiled:
    """What a compiler made.

    Attributes:
        engine: ``ort`` or ``aot``.
        step: the folder with its files.
        facts: what it says of its work: sizes, instructions, arena.
    """

    engine: str
    step: Done
    facts: dict[str, Any] = field(default_factory=dict)


def wanted_engines(job: Job) -> tuple[str, ...]:
    """The engines to compile for: the target's, or those that the recipe picks from them.

    Raises:
        UsageError: the recipe names an engine that there is not, or that the target does not take.
    """
    for name in job.recipe.engines:
        if name not in KNOWN:
            raise UsageError(
                f"there is no engine {name!r}{near(name, KNOWN)}; choose from {', '.join(KNOWN)}"
            )
        if name not in job.target.engines:
            raise UsageError(
                f"{job.target.name} does not take the engine {name}; it takes {', '.join(job.target.engines)}"
            )
    return tuple(
        name
        for name in job.target.engines
        if name in (job.recipe.engines or job.target.engines) and name in KNOWN
    )


def compile_all(job: Job, network: PressedNetwork, golden: Done) -> list[Compiled]:
    """Compile for every engine wanted; one that cannot take the network is left out where another can.

    Raises:
        EdgepressError: no engine takes the network, or a check failed.
    """
    compiled = []
    refusals: list[Exception] = []
    wanted = wanted_engines(job)
    for engine in wanted:
        try:
            made = _ort(job, network) if engine == "ort" else _aot(job, network)
        except (SourceError, CompileError, MissingExtraError) as error:
            if job.recipe.engines or len(wanted) == 1:
                raise
            refusals.append(error)
            job.left_out[engine] = str(error)
            job.listener.note(f"the engine {engine} is left out: {error}")
            continue
        compiled.append(_check(job, network, made, golden))
    if not compiled:
        raise refusals[0]
    return compiled


def _ort(job: Job, network: PressedNetwork) -> Compiled:
    two_bit = network.two_bit and takes_two_bits(job.target)
    if network.two_bit and not two_bit:
        job.listener.note(
            f"exact products are kept: ONNX Runtime has none of two-bit weights for {job.target.name}"
        )

    any_size = job.joined.any_size

    def work(folder: Path, progress: Any) -> None:
        from edgepress.graph.cost import node_layers
        from edgepress.graph.two_bit_products import use_two_bit_products
        from edgepress.targets.compilers.ort import compile_graph

        graph = steps.read_graph(network.step.folder / steps.GRAPH)
        (folder / LAYERS).write_bytes(layers_to_bytes(node_layers(graph)))  # of a tile, whose sizes are known
        if any_size:
            graph = steps.open_sizes(graph)
        graph = compile_graph(use_two_bit_products(graph) if two_bit else graph, job.target)
        steps.write_graph(folder / steps.GRAPH, graph)

    done = job.step(
        "compile-ort",
        f"optimising the graph for ONNX Runtime {job.target.runtime.onnxruntime}",
        {"graph": network.step.key, "target": encode(job.target), "two_bit": two_bit, "any_size": any_size},
        work,
        lambda folder: f"{(folder / steps.GRAPH).stat().st_size / 1e6:.1f} MB",
    )
    return Compiled("ort", done)


def _aot(job: Job, network: PressedNetwork) -> Compiled:
    tuned = tiles_for(job.target)
    coder, sending = job.joined.has_coder(job.part), job.joined.sending(job.part)
    tables = job.source.digest if sending is not None else ""

    def compile_work(folder: Path, progress: Any) -> None:
        steps.need("tvm", "compiling machine code")
        from edgepress.targets.compilers.tvm import compile_graph

        kernels = compile_graph(
            steps.read_graph(network.step.folder / steps.GRAPH), job.target, folder, progress, tuned
        )
        facts = {
            "arena_bytes": kernels.arena_bytes,
            "weights_bytes": kernels.weights_bytes,
            "kernels": kernels.kernel_count,
            "ops": len(kernels.layers),
            "macs": kernels.macs,
            "files": [kernels.kernels.name, kernels.model.name],
        }
        steps.write_facts(folder, facts)
        (folder / LAYERS).write_bytes(layers_to_bytes(kernels.layers))

    compiled = job.step(
        "compile-aot",
        f"compiling kernels for {job.target.cpu.model}",
        {"graph": network.step.key, "target": encode(job.target), "tuned": tuned},
        compile_work,
        lambda folder: _aot_figure(steps.read_facts(folder)),
    )

    def link_work(folder: Path, progress: Any) -> None:
        from edgepress.targets.compilers.link import link

        made = steps.read_facts(compiled.folder)
        units = [compiled.folder / name for name in made["files"]]
        if sending is not None:
            units.append(sending.write(folder / NAME))
        linked = link(units, job.target, folder, coder=coder, sender=sending is not None)
        for name in ("weights.bin", LAYERS):
            shutil.copyfile(compiled.folder / name, folder / name)
        roles = {"library": linked.shared, "archive": linked.archive, "executable": linked.executable}
        files = {role: path.name for role, path in roles.items() if path is not None}
        files |= {f"source:{path.name}": path.name for path in linked.sources}
        files |= {f"header:{path.name}": path.name for path in linked.headers}
        code = {role: path.stat().st_size for role, path in roles.items() if path is not None}
        facts = {key: made[key] for key in ("arena_bytes", "weights_bytes", "kernels", "ops", "macs")}
        facts |= {"files": files, "bytes": code, "linker": linked.compiler}
        if linked.image is not None:
            facts["image"] = linked.image.name  # for the check: it does not ship
        steps.write_facts(folder, facts)

    linked = job.step(
        "link",
        f"linking for {job.target.toolchain.zig_target}",
        {"kernels": compiled.key, "target": encode(job.target), "coder": coder, "tables": tables},
        link_work,
        lambda folder: ", ".join(
            f"{role} {size / 1e3:.0f} KB" for role, size in steps.read_facts(folder)["bytes"].items()
        ),
    )
    return Compiled("aot", linked, steps.read_facts(linked.folder))


def _check(job: Job, network: PressedNetwork, made: Compiled, golden: Done) -> Compiled:
    """Run what was compiled on the golden inputs and compare; for machine code of another board, in an emulator."""
    from edgepress.build.trial import missing, runners, try_engine

    examples = steps.read_golden(golden.folder, network.inputs, network.outputs)
    allowed = tolerances([outputs for _, outputs in examples], network)

    def work(folder: Path, progress: Any) -> None:
        trials = try_engine(
            made.engine,
            made.step.folder,
            made.facts,
            [inputs for inputs, _ in examples],
            job.target,
            network.outputs,
            progress,
        )
        results = [
            {
                "how": trial.how,
                "origin": trial.origin,
                "instructions": trial.instructions,
                "layers": list(trial.layers),
                **_judge(
                    [outputs for _, outputs in examples][: len(trial.outputs)],
                    trial.outputs,
                    network.steps,
                    allowed,
                ),
                **_symbols(job, [outputs for _, outputs in examples], trial.outputs),
                **sent_by(job, made, trial),
            }
            for trial in trials
        ]
        steps.write_facts(folder, {"trials": results})

    done = job.step(
        "check",
        f"running {made.engine} on the golden inputs",
        {
            "made": made.step.key,
            "golden": golden.key,
            "engine": made.engine,
            "target": encode(job.target),
            "runners": runners(job.target),
        },
        work,
        lambda folder: _trial_figure(made.engine, steps.read_facts(folder)["trials"], missing(job.target)),
    )
    trials = steps.read_facts(done.folder)["trials"]
    for trial in trials:
        passed = trial["worst"] <= trial["limit"]
        detail = (
            f"{trial['how']}; {trial['instructions']} instructions an inference"
            if trial["instructions"]
            else trial["how"]
        )
        check = Check(
            made.engine,
            "ONNX Runtime on the portable graph",
            trial["worst"],
            trial["limit"],
            trial["unit"],
            passed,
            trial["origin"],
            detail,
        )
        job.check(check)
        if "symbols" in trial:
            job.check(_symbol_check(made.engine, trial))
        if "sent" in trial:
            job.check(stream_check(trial))
        if not passed:
            raise CheckError(
                f"the engine {made.engine} ({trial['how']}) differs from ONNX Runtime by "
                f"{trial['worst']:.3g} {trial['unit']}, "
                f"more than {trial['limit']:.3g}; leave it out with --engines, and report it with the model"
            )
    counted: dict[str, Any] = next((trial for trial in trials if trial["instructions"]), {})
    facts = made.facts | {key: counted[key] for key in ("instructions", "layers") if counted.get(key)}
    if "sent" in counted:
        facts["stream_instructions"] = counted["sent"]["instructions"]
    return Compiled(made.engine, made.step, facts)


def _symbols(job: Job, expected: list[Feed], given: list[Feed]) -> dict[str, Any]:
    """For a part that sends, the share of symbols that are the same, at the rate where fewest are."""
    sent = job.joined.sent(job.part)
    if sent is None:
        return {}
    same = [
        [np.mean(x == y) for x, y in zip(sent(a), sent(b), strict=True)]
        for a, b in zip(expected, given, strict=False)
    ]
    return {"symbols": float(np.min(np.mean(same, axis=0)))}


def _symbol_check(engine: str, trial: dict[str, Any]) -> Check:
    """What :func:`_symbols` found, as a check.

    Raises:
        CheckError: too few are the same.
    """
    share = trial["symbols"]
    if share < AGREEMENT:
        raise CheckError(
            f"of the engine {engine} ({trial['how']}) only {share:.4%} of symbols are ONNX Runtime's, and "
            f"{AGREEMENT:.1%} must be; leave it out with --engines, and report it with the model"
        )
    against = "ONNX Runtime on the portable graph"
    return Check(engine, against, share, AGREEMENT, "share of symbols", True, trial["origin"], trial["how"])


def tolerances(expected: list[Feed], network: PressedNetwork) -> dict[str, float]:
    """By how much each output may differ from its golden one: two steps where it is quantised, else 1e-4 of it.

    Where activations are rounded inside, one rounding the other way may move a float output by about a per cent;
    products of two-bit weights round all of them anew.
    """
    found = {}
    for name in expected[0]:
        share = ROUNDED if network.steps or network.rounds else TOLERANCE
        steps = (MOST_STEPS + 1e-3) * network.steps.get(name, 0.0)
        largest = max(magnitude(outputs[name]) for outputs in expected)
        found[name] = max(steps, TWO_BIT * largest) if network.two_bit else steps or share * largest
    return found


def _judge(
    expected: list[Feed], given: list[Feed], output_steps: dict[str, float], allowed: dict[str, float]
) -> dict[str, Any]:
    """The output that comes nearest to its limit: how far it is off, in its own unit."""
    name, worst = max(
        (
            (name, worst_difference(a[name], b.get(name)))
            for a, b in zip(expected, given, strict=True)
            for name in a
        ),
        key=lambda found: found[1] / allowed[found[0]],
    )
    step = output_steps.get(name, 1.0)
    return {
        "worst": worst / step,
        "limit": allowed[name] / step,
        "unit": "output steps" if name in output_steps else "absolute",
    }


def _aot_figure(facts: dict[str, Any]) -> str:
    return f"{facts['kernels']} kernels, arena {facts['arena_bytes'] / 1e6:.2f} MB"


def _trial_figure(engine: str, trials: list[dict[str, Any]], missing: str) -> str:
    if not trials:
        return f"{engine} was not run: {missing or 'nothing here can run it'}"
    return "; ".join(
        f"{engine} within {trial['worst']:.2g} {trial['unit']} ({trial['how']}"
        + (f", {trial['instructions'] / 1e6:.1f} M instructions)" if trial["instructions"] else ")")
        for trial in trials
    )
