"""The order of a build's steps."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.build import steps
from edgepress.build.assemble import assemble, pool
from edgepress.build.cache import StepCache
from edgepress.build.choice import choose_engine
from edgepress.build.data import check_data, folder_labels, training_method
from edgepress.build.engines import compile_all, wanted_engines
from edgepress.build.job import PART, Done, Job, Planned
from edgepress.build.listener import Listener, Silent
from edgepress.build.lock import lock_path, read_lock, write_lock
from edgepress.build.press import calibration_samples, choose_network, specs
from edgepress.build.train import check_training, trained_network
from edgepress.bundle import Check, Manifest, verified
from edgepress.bundle.writer import remove_partials, write_bundle
from edgepress.errors import MissingExtraError, TargetError, UsageError
from edgepress.inputs import ArrayInput, ImageInput, InputKind
from edgepress.methods import configure, find_method, method_names
from edgepress.outputs import ArrayOutput, OutputKind, ScoresOutput
from edgepress.recipe import Recipe
from edgepress.records import encode, near
from edgepress.runtimes.choose import why_not_target
from edgepress.samples import Samples
from edgepress.source import Source, resolve
from edgepress.targets import load_target
from edgepress.tensor import TensorSpec

_ABOUT = {
    "export": "export the model to ONNX",
    "data": "decode the examples",
    "train": "train the network",
    "press": "compress the network",
    "rest": "press the layers left to int8",
    "gate": "hold it against the float network",
    "speed": "see whether it is slower",
    "golden": "make the golden examples",
    "compile-ort": "optimise the graph for ONNX Runtime",
    "compile-aot": "compile kernels",
    "link": "link the library",
    "check": "run what was compiled on the golden examples",
    "time": "time the engines on this machine",
    "pool": "store each weight once",
}


@dataclass(frozen=True)
class Built:
    """A finished build: the bundle, its manifest, the seconds it took and which steps ran or were in the cache."""

    path: Path
    manifest: Manifest
    seconds: float
    ran: tuple[str, ...]
    reused: tuple[str, ...]


@dataclass(frozen=True)
class PlannedStep:
    """A step of a dry run, and whether it is in the cache already."""

    name: str
    about: str
    cached: bool


def build(recipe: Recipe, listener: Listener | None = None, cache: StepCache | None = None) -> Built:
    """Build a bundle.

    Args:
        recipe: what to build.
        listener: told of every step.
        cache: where finished steps are kept; the user's cache by default.

    Raises:
        EdgepressError: see :mod:`edgepress.errors`; nothing is left half-written.
    """
    start = time.perf_counter()
    job, output = _prepare(recipe, listener or Silent(), cache or StepCache.default())
    with job.cache.building():
        remove_partials(output)
        manifest, members = _run(job)
        written = write_bundle(output, manifest, members)
    if job.measured:
        write_lock(lock_path(output), job.measured)
    verified.trust(hashlib.sha256(written.to_bytes()).hexdigest())
    return Built(output, written, time.perf_counter() - start, tuple(job.ran), tuple(job.reused))


def plan(recipe: Recipe, cache: StepCache | None = None) -> tuple[Path, list[PlannedStep]]:
    """What a build would do: the bundle it would write and its steps, those in the cache marked.

    Raises:
        EdgepressError: the recipe, the model or the target is wrong.
    """
    job, output = _prepare(recipe, Silent(), cache or StepCache.default())
    job.dry = True
    wanted = wanted_engines(job)
    with contextlib.suppress(Planned):
        _run(job)
    names = ["export"]
    if training_method(recipe.method) is not None:
        names += [*(["data"] if Path(recipe.data).is_dir() and recipe.data else []), "train"]
        names += ["press", "rest"]
    else:
        names += ["press"]
    names += (
        ["press", "gate", "speed"] if recipe.method == "auto" else ["gate"] if recipe.method != "none" else []
    )
    names += ["golden"]
    for engine in wanted:
        names += ["compile-aot", "link", "check"] if engine == "aot" else ["compile-ort", "check"]
    names += ["time"] if recipe.on and len(wanted) > 1 else []
    names += ["pool"]
    planned, left = [], list(job.reused)
    for name in names:
        cached = name in left
        if cached:
            left.remove(name)
        planned.append(PlannedStep(name, _ABOUT[name], cached))
    return output, planned


def _prepare(recipe: Recipe, listener: Listener, cache: StepCache) -> tuple[Job, Path]:
    if recipe.on not in ("", "local"):
        raise UsageError(f"--on {recipe.on!r} is no device that can measure here; local is this machine")
    if recipe.method != "auto" and recipe.method not in method_names():
        hint = near(recipe.method, method_names()) or f"; choose auto, {', '.join(method_names())}"
        raise UsageError(f"there is no method {recipe.method!r}{hint}")
    if recipe.options and recipe.method == "auto":
        raise UsageError(
            "options need a method by name, not auto; write for example method = 'int8' in the recipe"
        )
    if recipe.options:
        configure(find_method(recipe.method), recipe.options)
    method = training_method(recipe.method)
    check_data(recipe.data, method, recipe.method)
    target = load_target(recipe.target)
    given = tuple(
        TensorSpec(name, item.shape, item.dtype) for name, item in recipe.inputs.items() if item.shape
    )
    source = _described(resolve(recipe.model, given, recipe.weights), recipe)
    name = recipe.name or source.name
    output = Path(recipe.output or f"{name}-{target.name}.edge")
    if output.exists() and not output.is_file():
        raise UsageError(f"{output} is no file that a bundle could replace; choose another name with -o")
    if recipe.on == "local" and (mismatch := why_not_target(encode(target))):
        raise TargetError(
            f"this machine cannot measure for {target.name} ({mismatch}); leave --on out, or build for the host"
        )
    job = Job(
        recipe, source, target, cache, listener, locked=read_lock(lock_path(output)) if recipe.on else {}
    )
    if method is not None:
        check_training(job, method)
    wanted_engines(job)  # a wrong name is said before an hour's work, not after
    return job, output


def _described(source: Source, recipe: Recipe) -> Source:
    """The source with the recipe's own labels and preprocessing."""
    labels = source.labels
    if recipe.labels:
        try:
            labels = tuple(Path(recipe.labels).read_text(encoding="utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"the labels {recipe.labels} cannot be read ({error}); give a text file, one label a line"
            ) from None
    prepare = {name: item.prepare for name, item in recipe.inputs.items() if item.prepare is not None}
    return dataclasses.replace(
        source, labels=labels, prepare={**source.prepare, **prepare}, name=recipe.name or source.name
    )


def _run(job: Job) -> tuple[Manifest, dict[str, Any]]:
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError("building a bundle", package, "build")
    exported, inputs, outputs = _export(job)
    job.source = dataclasses.replace(job.source, labels=folder_labels(job, outputs))
    kinds, meaning = _meaning(job, inputs, outputs)
    scores = next((name for name, kind in meaning.items() if isinstance(kind, ScoresOutput)), "")
    method = training_method(job.recipe.method)
    if method is None:
        network = choose_network(job, exported, kinds, scores)
    else:
        exported, network = trained_network(job, exported, method, kinds, scores)
    samples = calibration_samples(job, network.inputs, kinds, half=1)
    graph = network.step.folder / steps.GRAPH
    golden = job.step(
        "golden",
        "making the golden examples",
        {"graph": network.step.key, "samples": samples.digest, "count": job.recipe.golden},
        lambda folder, progress: steps.golden(
            graph, (network.inputs, network.outputs), samples.load(), job.recipe.golden, folder
        ),
    )
    compiled = compile_all(job, network, golden)
    chosen = choose_engine(job, network, compiled, golden)
    pooled = pool(job, network, compiled)
    name = job.recipe.name or job.source.name
    return assemble(job, exported, network, compiled, pooled, golden, kinds, meaning, chosen, name)


def _export(job: Job) -> tuple[Done, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    source = job.source
    samples: Samples | None = None
    if source.inputs and source.kind == "torch":
        kinds = {
            spec.name: _kind(source.prepare.get(spec.name, ArrayInput()), spec) for spec in source.inputs
        }
        samples = calibration_samples(job, source.inputs, kinds, half=0)
    limits = {"ir": job.target.runtime.max_ir, "opset": job.target.runtime.max_opset}
    exported = job.step(
        "export",
        "exporting the model to ONNX",
        {
            "source": source.digest,
            "inputs": encode(source.inputs),
            "outputs": list(source.outputs),
            "example": samples.digest if samples else "",
            **limits,
        },
        lambda folder, progress: steps.export(
            source, job.target, samples.load()[0] if samples else None, folder, progress
        ),
        _export_figure,
    )
    facts = steps.read_facts(exported.folder)
    comparison = facts["comparison"]
    limit = comparison["tolerance"] * max(1.0, comparison["scale"])
    detail = f"{comparison['cases']} sets of inputs"
    job.checks.append(
        Check("export", facts["against"], comparison["max_abs_error"], limit, "absolute", True, detail=detail)
    )
    return exported, specs(facts["inputs"]), specs(facts["outputs"])


def _export_figure(folder: Path) -> str:
    facts = steps.read_facts(folder)
    size = (folder / steps.GRAPH).stat().st_size / 1e6
    return f"{size:.1f} MB, within {facts['comparison']['max_abs_error']:.1g} of {facts['against']}"


def _meaning(
    job: Job, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[dict[str, InputKind], dict[str, OutputKind]]:
    """How each input is made and what each output means, by tensor name."""
    known = [spec.name for spec in inputs]
    for name in job.recipe.inputs:
        if name not in known:
            raise UsageError(f"the model has no input {name!r}{near(name, known)}; it has {', '.join(known)}")
    names = [spec.name for spec in outputs]
    for name in job.recipe.outputs:
        if name not in names:
            raise UsageError(
                f"the model has no output {name!r}{near(name, names)}; it has {', '.join(names)}"
            )
    meaning: dict[str, OutputKind] = {name: job.recipe.outputs.get(name, ArrayOutput()) for name in names}
    scored = [spec for spec in outputs if isinstance(meaning[spec.name], ScoresOutput)]
    if job.source.labels and not scored:
        scored = [
            spec
            for spec in outputs[:1]
            if spec.dtype.startswith("float") and spec.shape and spec.shape[-1] > 1
        ]
        if not scored:
            raise UsageError(
                f"labels are for class scores, and the output {names[0]!r} holds none; "
                "name the one that does under [outputs] in a recipe"
            )
    for spec in scored:
        meaning[spec.name] = _scores(meaning[spec.name], spec, job.source.labels)
    return {
        spec.name: _kind(job.source.prepare.get(spec.name, ArrayInput()), spec) for spec in inputs
    }, meaning


def _scores(kind: OutputKind, spec: TensorSpec, labels: tuple[str, ...]) -> ScoresOutput:
    """An output of class scores with the source's labels, one a class."""
    known = kind if isinstance(kind, ScoresOutput) else ScoresOutput()
    if known.labels:
        raise UsageError(f"labels stand at the top of a recipe, not under [outputs.{spec.name}]")
    classes = spec.shape[-1] if spec.shape else 0
    if labels and len(labels) != classes:
        raise UsageError(
            f"there are {len(labels)} labels, and the output {spec.name!r} scores {classes} classes; "
            "give one label a line"
        )
    return dataclasses.replace(known, labels=f"{PART}/labels.txt" if labels else "")


def _kind(kind: InputKind, spec: TensorSpec) -> InputKind:
    """A picture for a tensor with one channel is grey, whatever was said of its colour."""
    if isinstance(kind, ImageInput) and len(spec.shape) == 4 and kind.colour != "L":
        channels = spec.shape[1 if kind.layout == "NCHW" else 3]
        if channels == 1:
            return dataclasses.replace(kind, colour="L", mean=kind.mean[:1], std=kind.std[:1])
    return kind
