"""The model to cut, as a float graph: whatever ``edgepress build`` takes, and bundles."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepress.build import steps
from edgepress.build.cache import StepCache
from edgepress.build.job import Job
from edgepress.build.listener import Listener
from edgepress.build.network import export
from edgepress.build.tune import stored_model
from edgepress.bundle import open_bundle
from edgepress.errors import SourceError, UsageError
from edgepress.inputs import InputKind
from edgepress.recipe import Recipe
from edgepress.source import resolve
from edgepress.targets import Target
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class FloatGraph:
    """A model to cut.

    Attributes:
        name: for people.
        model: as it was given.
        graph: in float, tidied, with the shapes of all tensors.
        prepare: how each input is made, by tensor name; empty where that is not known.
        module: the torch module that it was exported from; None for other sources.
        again: what to write behind a command's name to mean it again; empty for a bundle, which is built already.
        note: what was done to the model first, in words; empty where nothing was.
    """

    name: str
    model: str
    graph: onnx.ModelProto
    prepare: dict[str, InputKind]
    module: Any = None
    again: str = ""
    note: str = ""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensors that it takes."""
        return steps.graph_specs(self.graph)[0]


def float_graph(
    model: str, target: Target, listener: Listener, inputs: tuple[TensorSpec, ...] = (), weights: str = ""
) -> FloatGraph:
    """Find a model and make its float graph; an export is kept in the cache of builds.

    Args:
        model: as ``edgepress build`` takes it, or the path of a bundle.
        target: the device's board, whose runtime the graph is for.
        listener: told of the export.
        inputs: what the model takes, where it cannot say so itself.
        weights: a checkpoint for torch code.

    Raises:
        SourceError: there is no such model, it is of several networks, or it computes on integers alone.
        BundleError: the bundle is damaged.
        EdgepressError: it cannot be exported.
    """
    steps.need("onnx", "looking for places to cut a model")
    path = Path(model)
    if path.suffix == ".edge":
        return _of_bundle(path)
    source = resolve(model, inputs, weights)
    if source.parts:
        raise SourceError(
            f"{source.name} is of several networks ({', '.join(source.parts)}) already; give a model that is one"
        )
    recipe = Recipe(model=model, target=target.name, weights=weights, method="none")
    job = Job(recipe, source, target, StepCache.default(), listener)
    with job.cache.building():
        done, _, _ = export(job)
        graph = steps.read_graph(done.folder / steps.GRAPH)
    module = source.load() if source.kind == "torch" else None
    given = "".join(f" --input {spec.name}:{'x'.join(map(str, spec.shape))}:{spec.dtype}" for spec in inputs)
    given += f" --weights {shlex.quote(weights)}" if weights else ""
    return FloatGraph(source.name, model, graph, source.prepare, module, shlex.quote(model) + given)


def _of_bundle(path: Path) -> FloatGraph:
    from edgepress.graph.dequantise import dequantise, is_quantised
    from edgepress.graph.tidy import tidy

    with open_bundle(path) as bundle:
        parts = bundle.manifest.parts
        if len(parts) > 1:
            raise UsageError(
                f"{path} is of several networks ({', '.join(parts)}) already; give a bundle of one, or the model itself"
            )
        (part,) = parts.values()
        graph = stored_model(bundle, part.graph)
        rounds = is_quantised(graph)
        note = "the bundle's int8 network in float" if rounds else ""
        graph = dequantise(graph) if rounds else tidy(graph)
        return FloatGraph(bundle.manifest.name, str(path), graph, dict(part.prepare), note=note)
