"""Measure other tiles for a bundle's kernels on this machine, and keep those that are faster beyond doubt.

Every candidate is a build of the whole network in which each kernel has a few rows more or fewer; so one
build tries a tile for every kernel at once, in the place and with the caches that it has in use. It runs in
turns with the rule's build. What seems faster is built together and measured once more, and only what holds
then is kept: the first figures are picked for being low, the second are not.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepress.build.steps import need, takes_any_size
from edgepress.build.tuning import TunedTile, as_mapping, keep_tiles
from edgepress.bundle import Bundle, Graph
from edgepress.bundle.layers import KernelLayer
from edgepress.errors import TargetError, UsageError
from edgepress.hardware.feed import example_inputs
from edgepress.hardware.measure import interval
from edgepress.progress import Progress, silent
from edgepress.runtimes.choose import why_not_target
from edgepress.runtimes.native import NativeModel
from edgepress.targets import Target, load_target
from edgepress.targets.tiles import lanes_of, most_rows, registers_of

_STEPS = (-2, 2, -4, -1, 1, -6)  # rows beside the rule's, in the order in which they are tried
_ROUNDS = 25
_REPEATS = 5
_CLEARLY = 0.985  # what the interval of a first measurement must stay below


@dataclass(frozen=True)
class Tried:
    """A kernel and what was measured of it.

    Attributes:
        shape, by: the kernel, and the rule's tile.
        layers: how many layers it computes.
        share: of the network's time, with the rule's tile.
        best: the fastest other tile as last measured; None where none was tried.
        kept: whether that is kept.
    """

    shape: str
    by: str
    layers: int
    share: float
    best: TunedTile | None = None
    kept: bool = False


@dataclass(frozen=True)
class Tuned:
    """What came of it: every kernel with a tile; the candidates built; the file; the whole network's ratio."""

    kernels: tuple[Tried, ...]
    candidates: int
    complete: bool
    path: Path | None = None
    whole: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class _Built:
    layers: tuple[KernelLayer, ...]
    model: NativeModel


def tune(
    bundle: Bundle, part: str, *, budget: float, dry: bool, progress: Progress = silent,
    keep: Callable[[Sequence[TunedTile], Sequence[str]], Path] = keep_tiles,
) -> Tuned:  # fmt: skip
    """Try tiles for a part's kernels.

    Args:
        bundle: an open, verified bundle for this machine.
        part: which part.
        budget: seconds that measuring may take; what is begun is finished.
        dry: only build what the rule gives, and say what would be tried.
        progress: told of each candidate.
        keep: writes the file; told after each candidate, so that what is known by then survives.

    Raises:
        TargetError: the bundle is for another machine.
        UsageError: the part has no machine code, or no kernel of it has a tile.
        MissingExtraError: the extra ``build`` is not installed.
    """
    target = _target(bundle, part)
    record = bundle.manifest.parts[part]
    model = stored_model(bundle, record.graph)
    if takes_any_size(model):
        from edgepress.exporters.onnx_file import fix_shapes
        from edgepress.graph.tidy import tidy

        model = tidy(fix_shapes(model, record.inputs))
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        builds = stack.enter_context(_builder(model, target))
        progress(0, len(_STEPS) + 2, "building with the rule's tiles")
        rule = builds({})
        each = time.monotonic() - started
        inputs = example_inputs(bundle, part)
        kernels = _kernels(rule, inputs)
        plans = _candidates(kernels, target)
        if dry:
            return Tuned(tuple(kernels.values()), len(plans), False)
        tried = 0
        for number, plan in enumerate(plans):
            if tried and time.monotonic() - started + 2 * each > budget:  # one for the last confirmation
                break
            progress(number + 1, len(plans) + 2, f"candidate {number + 1} of {len(plans)}")
            found = _compare(rule, builds(plan), inputs)
            for key, (ratio, low, high) in found.items():
                kernel = kernels[key]
                if key in plan and (kernel.best is None or ratio < kernel.best.ratio):
                    best = TunedTile(kernel.shape, kernel.by, plan[key], ratio, low, high)
                    kernels[key] = Tried(
                        kernel.shape, kernel.by, kernel.layers, kernel.share, best, high < _CLEARLY
                    )
            tried += 1
            keep([k.best for k in kernels.values() if k.kept and k.best], list(kernels))
        complete = tried == len(plans)
        progress(len(plans) + 1, len(plans) + 2, "measuring what was faster once more")
        return _confirmed(kernels, rule, builds, inputs, keep, tried, complete)


def _confirmed(
    kernels: dict[str, Tried], rule: _Built, builds: Callable[[dict[str, int]], _Built], inputs: Any,
    keep: Callable[[Sequence[TunedTile], Sequence[str]], Path], tried: int, complete: bool,
) -> Tuned:  # fmt: skip
    """The kernels that are faster in a second measurement, too, all together."""
    plan = as_mapping([kernel.best for kernel in kernels.values() if kernel.kept and kernel.best])
    if not plan:
        return Tuned(tuple(kernels.values()), tried, complete, keep([], list(kernels)))
    built = builds(plan)
    found = _compare(rule, built, inputs)
    for key in plan:
        kernel, (ratio, low, high) = kernels[key], found[key]
        best = TunedTile(kernel.shape, kernel.by, plan[key], ratio, low, high)
        kernels[key] = Tried(kernel.shape, kernel.by, kernel.layers, kernel.share, best, high < 1)
    path = keep([k.best for k in kernels.values() if k.kept and k.best], list(kernels))
    return Tuned(tuple(kernels.values()), tried, complete, path, _whole(rule, built, inputs))


def stored_model(bundle: Bundle, graph: Graph) -> Any:
    """A graph of a bundle with its weights in it, as the compiler takes it."""
    need("onnx", "tuning")
    import onnx

    model = onnx.load_from_string(bytes(bundle.member(graph.member)))
    places = {tensor.name: (tensor.offset, tensor.length) for tensor in graph.tensors}
    for tensor in model.graph.initializer:
        if tensor.name in places:
            offset, length = places[tensor.name]
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.raw_data = bytes(bundle.member(graph.weights)[offset : offset + length])
    return model


def _target(bundle: Bundle, part: str) -> Target:
    record = bundle.manifest.parts[part]
    described = bundle.manifest.targets[record.target]
    mismatch = why_not_target(described)
    if mismatch or described.get("kind") != "host":
        raise TargetError(
            f"{bundle.path} is for {record.target}"
            + (f" ({mismatch})" if mismatch else "")
            + ", and only this machine can be measured; build it with --target host to tune it"
        )
    if "aot" not in record.engines:
        raise UsageError(f"{bundle.path} has no engine aot, so it has no tiles; build it with --engines aot")
    return load_target("host")


@contextlib.contextmanager
def _builder(model: Any, target: Target) -> Iterator[Callable[[dict[str, int]], _Built]]:
    """A function from tiles to a network built with them."""
    need("tvm", "tuning")
    from edgepress.targets.compilers.link import link
    from edgepress.targets.compilers.tvm import compile_graph

    with tempfile.TemporaryDirectory(prefix="edgepress-tune-") as folder:
        count = 0

        def build(tiles: dict[str, int]) -> _Built:
            nonlocal count
            count += 1
            place = Path(folder) / str(count)
            place.mkdir()
            made = compile_graph(model, target, place, tuned=tiles)
            library = link([made.model, made.kernels], target, place / "lib", executable=False).shared
            assert library is not None
            return _Built(made.layers, NativeModel(library, made.weights.read_bytes()))

        yield build


def _kernels(rule: _Built, inputs: Any) -> dict[str, Tried]:
    """The kernels that have a tile, by key, those that take most time first."""
    times = np.median(rule.model.profile(inputs, 2 * _REPEATS), axis=0)
    keys = _keys(rule)
    found = {}
    for key in dict.fromkeys(filter(None, keys)):
        own = [index for index, other in enumerate(keys) if other == key]
        layer = rule.layers[own[0]]
        share = float(times[own].sum() / max(times.sum(), 1e-12))
        found[key] = Tried(layer.shape, layer.tile, len(own), share)
    if not found:
        raise UsageError("no kernel of this network has a tile that could be tuned")
    return dict(sorted(found.items(), key=lambda item: -item[1].share))


def _keys(built: _Built) -> list[str]:
    """Each layer's key, empty where it has no tile."""
    return [f"{layer.shape} by {layer.tile}" if layer.shape else "" for layer in built.layers]


def _candidates(kernels: dict[str, Tried], target: Target) -> list[dict[str, int]]:
    """Tiles for every kernel at once, a candidate for each number of rows beside the rule's."""
    registers = registers_of(target.cpu)
    plans = []
    for step in _STEPS:
        plan = {}
        for key, kernel in kernels.items():
            rows, columns = (int(number) for number in kernel.by.split("x"))
            vectors = -(-columns // lanes_of(target.cpu))
            if 1 <= rows + step <= most_rows(vectors, registers, False):
                plan[key] = rows + step
        if plan:
            plans.append(plan)
    return plans


def _compare(rule: _Built, other: _Built, inputs: Any) -> dict[str, tuple[float, float, float]]:
    """For each kernel, the time of the other build over the rule's, and its 95 % interval."""
    keys = np.array(_keys(rule))
    ratios: dict[str, list[float]] = {key: [] for key in dict.fromkeys(keys.tolist()) if key}
    for ours, theirs in _turns(rule, other, inputs):
        for key, found in ratios.items():
            found.append(float(theirs[keys == key].sum() / max(ours[keys == key].sum(), 1e-12)))
    return {key: (float(np.median(found)), *interval(found)) for key, found in ratios.items()}


def _whole(rule: _Built, other: _Built, inputs: Any) -> tuple[float, float, float]:
    ratios = [float(theirs.sum() / ours.sum()) for ours, theirs in _turns(rule, other, inputs)]
    return float(np.median(ratios)), *interval(ratios)


def _turns(rule: _Built, other: _Built, inputs: Any) -> Iterator[tuple[Any, Any]]:
    """The layers' times of both builds, measured in turns, first the one and then the other ahead."""
    for number in range(_ROUNDS):
        pair = (rule, other) if number % 2 else (other, rule)
        times = [np.median(built.model.profile(inputs, _REPEATS), axis=0) for built in pair]
        yield (times[0], times[1]) if number % 2 else (times[1], times[0])
