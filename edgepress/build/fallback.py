"""A whole network for a student's device, which answers when no server does: the part ``local``."""

from __future__ import annotations

import dataclasses

from edgepress.coding.split import DEVICE, LOCAL
from edgepress.errors import UsageError
from edgepress.inputs import ArrayInput, InputKind
from edgepress.recipe import Recipe
from edgepress.source import Source, resolve
from edgepress.split_source import SplitSource
from edgepress.tensor import TensorSpec


def with_fallback(source: Source, recipe: Recipe) -> Source:
    """The source with the network that the recipe names as its part ``local``, where it names one.

    Raises:
        SourceError: there is no such model.
        UsageError: it is no single network, or takes another input than the student's device.
    """
    split = source.joined
    if not recipe.fallback or not isinstance(split, SplitSource):
        return source
    (tensor,) = split.inputs(DEVICE)
    kind = split.prepare(DEVICE)[tensor.name]
    given = (tensor,) if ":" in recipe.fallback else ()
    found = resolve(recipe.fallback, given)
    if found.parts:
        raise UsageError(
            f"the fallback {found.name} is no single network; give a whole network for the device"
        )
    inputs = found.inputs or _inputs(found)
    if len(inputs) != 1 or (inputs[0].shape, inputs[0].dtype) != (tensor.shape, tensor.dtype):
        raise UsageError(
            f"the fallback {found.name} takes {_told(inputs)} and the student {_told((tensor,))}; give a network that "
            "takes the student's input"
        )
    own = found.prepare.get(inputs[0].name)
    if own not in (None, ArrayInput(), kind):
        raise UsageError(
            f"the fallback {found.name} has its input made in another way than the student; give a network that takes "
            "the student's input"
        )
    prepare: dict[str, InputKind] = {inputs[0].name: kind}
    local = dataclasses.replace(
        found, prepare=prepare, labels=found.labels or source.parts[split.heads[0]].labels
    )
    return dataclasses.replace(source, parts={**source.parts, LOCAL: local})


def _inputs(source: Source) -> tuple[TensorSpec, ...]:
    """What an ONNX file says that it takes."""
    from edgepress.build.steps import graph_specs
    from edgepress.exporters.onnx_file import read_onnx

    return graph_specs(read_onnx(source.load()))[0]


def _told(inputs: tuple[TensorSpec, ...]) -> str:
    return " and ".join(f"{'x'.join(map(str, one.shape))} of {one.dtype}" for one in inputs) or "nothing"
