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

from edgepress.build.assemble import Finished, assemble
from edgepress.build.cache import StepCache
from edgepress.build.data import check_data, training_method
from edgepress.build.engines import wanted_engines
from edgepress.build.fallback import with_fallback
from edgepress.build.job import PART, Job, Planned
from edgepress.build.joined import Shared, joined_by
from edgepress.build.listener import Listener, Silent
from edgepress.build.lock import lock_path, read_lock, write_lock
from edgepress.build.network import build_network
from edgepress.build.student import student_of
from edgepress.build.train import check_training
from edgepress.bundle import Manifest, verified
from edgepress.bundle.writer import remove_partials, write_bundle
from edgepress.errors import MissingExtraError, TargetError, UsageError
from edgepress.methods import configure, find_method, method_names
from edgepress.recipe import Recipe, part_targets
from edgepress.records import encode, near
from edgepress.runtimes.choose import why_not_target
from edgepress.source import Source, resolve
from edgepress.targets import Target, load_target
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
    "symbols": "hold what is sent and decoded against torch",
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
    try:
        job, output = _prepare(recipe, Silent(), cache or StepCache.default(), dry=True)
    except Planned as stopped:  # the student is still to be trained; its parts follow
        return Path(recipe.output or "student.edge"), [PlannedStep(str(stopped), _ABOUT[str(stopped)], False)]
    job.dry = True
    planned = [PlannedStep(name, _ABOUT[name], True) for name in job.reused]
    left = job.reused
    left.clear()
    with contextlib.suppress(Planned):
        _run(job)
    for name, shown in _names(job):
        cached = shown in left
        if cached:
            left.remove(shown)
        planned.append(PlannedStep(shown, _ABOUT[name], cached))
    return output, planned


def _names(job: Job) -> list[tuple[str, str]]:
    """The steps of a build and how they are shown."""
    if not job.source.parts:
        return [(name, name) for name in _network_steps(job)]
    parts = [job.of(part) for part in job.targets]
    whole = job.joined.step
    return [(name, part.shown(name)) for part in parts for name in _network_steps(part)] + [(whole, whole)]


def _network_steps(job: Job) -> list[str]:
    recipe, wanted = job.recipe, wanted_engines(job)
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
    return [*names, "pool"]


def _prepare(recipe: Recipe, listener: Listener, cache: StepCache, dry: bool = False) -> tuple[Job, Path]:
    if recipe.on not in ("", "local"):
        raise UsageError(f"--on {recipe.on!r} is no device that can measure here; local is this machine")
    if recipe.method != "auto" and recipe.method not in method_names():
        hint = near(recipe.method, method_names()) or f"; choose auto, {', '.join(method_names())}"
        raise UsageError(f"there is no method {recipe.method!r}{hint}")
    if recipe.options and recipe.method != "auto":
        configure(find_method(recipe.method), recipe.options)
    method = training_method(recipe.method)
    check_data(recipe.data, method, recipe.method)
    given = tuple(
        TensorSpec(name, item.shape, item.dtype) for name, item in recipe.inputs.items() if item.shape
    )
    found = _described(resolve(recipe.model, given, recipe.weights, recipe.tile, recipe.teachers), recipe)
    first = Job(recipe, found, _first_board(recipe), cache, listener, dry=dry)
    source, recipe = student_of(first)
    recipe = joined_by(source).fitting(recipe, source)
    source = with_fallback(source, recipe)
    targets = _targets(recipe.target, source)
    name = recipe.name or source.name
    boards = "-".join(dict.fromkeys(target.name for target in targets.values()))
    output = Path(recipe.output or f"{name}-{boards}.edge")
    if output.exists() and not output.is_file():
        raise UsageError(f"{output} is no file that a bundle could replace; choose another name with -o")
    for target in targets.values():
        if recipe.on == "local" and (mismatch := why_not_target(encode(target))):
            raise TargetError(
                f"this machine cannot measure for {target.name} ({mismatch}); leave --on out, or build for the host"
            )
    locked = read_lock(lock_path(output)) if recipe.on else {}
    board = next(iter(targets.values()))
    job = Job(
        recipe,
        source,
        board,
        cache,
        listener,
        locked=locked,
        targets=targets,
        ran=first.ran,
        reused=first.reused,
    )
    if method is not None:
        check_training(job, method)
    for part in (job.of(part) for part in targets) if source.parts else [job]:
        wanted_engines(part)  # a wrong name is said before an hour's work, not after
    return job, output


def _first_board(recipe: Recipe) -> Target:
    return load_target(next(iter(part_targets(recipe.target).values())))


def _targets(text: str, source: Source) -> dict[str, Target]:
    """The board of each part."""
    named, parts = part_targets(text), list(source.parts) or [PART]
    if "" in named:
        return dict.fromkeys(parts, load_target(named[""]))
    if not source.parts:
        raise UsageError(f"{source.name} is one network, without parts; give --target the name of one board")
    for part in named:
        if part not in parts:
            raise UsageError(
                f"{source.name} has no part {part!r}{near(part, parts)}; it has {', '.join(parts)}"
            )
    joined = joined_by(source)
    for part in parts:
        if part not in named and (other := named.get(joined.board_of(part))):
            named[part] = other
        if part not in named:
            raise UsageError(f"--target names no board for the part {part}; add {part}=BOARD")
    return {part: load_target(named[part]) for part in parts}


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
    if not job.source.parts:
        return assemble(job, {PART: build_network(job)}, Shared({}, {}))
    finished: dict[str, Finished] = {}
    stopped: Planned | None = None
    for part in job.targets:
        try:
            finished[part] = build_network(job.of(part))
        except Planned as planned:  # a dry run looks at the other parts too
            stopped = planned
    if stopped is not None:
        raise stopped
    return assemble(job, finished, job.joined.shared(job, finished))
