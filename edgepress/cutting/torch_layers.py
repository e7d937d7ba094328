"""Which torch layer gives a tensor of the exported graph: found by running both, so that no name must be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.errors import EdgepressError
from edgepress.graph.cuts import Cut
from edgepress.graph.index import copy_of
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx

_TOLERANCE = 1e-3  # of the largest magnitude: other orders of sums, and no other layer's output


def layers_of_tensors(
    module: Any, graph: onnx.ModelProto, inputs: Sequence[TensorSpec], cuts: Sequence[Cut]
) -> dict[str, str]:
    """By tensor, the outermost layer of the module whose last output is that tensor.

    Args:
        module: in evaluation mode.
        graph: what it was exported to.
        inputs: what both take.
        cuts: whose tensors are looked for; those that no layer gives are left out.
    """
    import torch

    generator = np.random.default_rng(0)
    feed = {
        spec.name: generator.uniform(*(spec.range or (-1.0, 1.0)), size=spec.shape).astype(spec.dtype)
        for spec in inputs
    }
    values = _tensors(graph, feed, [cut.tensor for cut in cuts])
    shapes = {cut.shape for cut in cuts}
    outputs: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(layer: Any, given: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and tuple(output.shape) in shapes:
                outputs.pop(name, None)
                outputs[name] = output.detach().clone()

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in module.named_modules() if name]
    try:
        with torch.no_grad():
            module(*(torch.from_numpy(feed[spec.name]) for spec in inputs))
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, str] = {}
    for name in sorted(outputs, key=lambda name: (name.count("."), name)):
        given = outputs[name].numpy()
        for tensor, value in values.items():
            if tensor not in found and _same(given, value):
                found[tensor] = name
    return found


def _tensors(
    graph: onnx.ModelProto, feed: dict[str, Any], names: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    """What tensors inside of a graph are for an input."""
    from edgepress.build.reference import run_graph

    new = copy_of(graph)
    known = {value.name: value for value in new.graph.value_info}
    del new.graph.output[:]
    new.graph.output.extend(known[name] for name in names)
    try:
        (found,) = run_graph(new.SerializeToString(), [feed])
    except EdgepressError:
        return {}
    return found


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    if a.shape != b.shape:
        return False
    scale = float(np.max(np.abs(b)))
    return scale > 0 and float(np.max(np.abs(a - b))) <= _TOLERANCE * scale
