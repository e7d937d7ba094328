"""A torch network cut in two behind one of its layers: what comes before, and what follows."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgepress.errors import SourceError
from edgepress.records import near
from edgepress.user_code import sentence

_MOST_BATCH = 1 << 16


@dataclass(frozen=True)
class Cut:
    """A network in two.

    Attributes:
        layer: behind which it is cut.
        head: input → features.
        tail: features → ``(output, *watched)``.
        features: extents of the features of one example, ``[channels, rows, columns]``.
        watched: the layers in the tail whose outputs it gives too.
    """

    layer: str
    head: nn.Module
    tail: nn.Module
    features: tuple[int, ...]
    watched: tuple[str, ...]


def layers_of(teacher: nn.Module) -> list[str]:
    """The names of the layers that a network could be cut behind."""
    return [name for name, _ in teacher.named_modules() if name]


def cut(teacher: nn.Module, example: Tensor, layer: str, watched: Sequence[str] | None = None) -> Cut:
    """Cut a network behind a layer; it must be all that joins the two halves.

    Args:
        teacher: in evaluation mode, of one input and one output; it is left as it is.
        example: one input ``[1, …]``.
        layer: as :meth:`torch.nn.Module.named_modules` calls it; empty cuts before the first layer.
        watched: layers behind it whose outputs are given too; None takes, of each size of map that follows, the last
            one that is made of several.

    Raises:
        SourceError: there is no such layer, the network cannot be traced, or something else than the layer's output
            is used behind it.
    """
    names = layers_of(teacher)
    if layer and layer not in names:
        raise SourceError(f"the network has no layer {layer!r}{near(layer, names)}; name one of its modules")
    graph = _traced(teacher, example)
    place = _outputs(graph, [layer]).get(layer) if layer else _input(graph)
    if place is None:
        raise SourceError(f"the layer {layer!r} gives no map that later layers use; name another")
    before = _ancestors(place)
    seen = _watched(graph, before, teacher) if watched is None else _named(graph, watched, before)
    head, tail = _head(graph, place), _tail(graph, place, before, list(seen.values()))
    return Cut(layer, head, tail, tuple(place.meta["val"].shape[1:]), tuple(seen))


def _traced(teacher: nn.Module, example: Tensor) -> fx.GraphModule:
    batch = torch.export.Dim("batch", min=1, max=_MOST_BATCH)
    twice = torch.cat([example, example])
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                copy.deepcopy(teacher).eval(), (twice,), dynamic_shapes=({0: batch},)
            )
            found: Any = program.module(check_guards=False)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # the user's code may raise anything
        raise SourceError(
            f"the network cannot be traced with any number of pictures at once: {sentence(error)}; make its forward "
            "free of decisions that depend on values"
        ) from error
    return found  # type: ignore[no-any-return]


def _input(graph: fx.GraphModule) -> fx.Node | None:
    return next((node for node in graph.graph.nodes if node.op == "placeholder"), None)


def _outputs(graph: fx.GraphModule, layers: Iterable[str]) -> dict[str, fx.Node]:
    """The last node of each layer, where it is a map of one batch."""
    wanted = set(layers)
    found: dict[str, fx.Node] = {}
    for node in graph.graph.nodes:
        value = node.meta.get("val")
        if node.op != "call_function" or not isinstance(value, Tensor):
            continue
        for name, _ in (node.meta.get("nn_module_stack") or {}).values():
            if name in wanted:
                found[name] = node
    return found


def _ancestors(node: fx.Node) -> set[fx.Node]:
    found, open_ = {node}, [node]
    while open_:
        for other in open_.pop().all_input_nodes:
            if other not in found:
                found.add(other)
                open_.append(other)
    return found


def _watched(graph: fx.GraphModule, before: set[fx.Node], teacher: nn.Module) -> dict[str, fx.Node]:
    """Behind the cut: of each size of map the last layer that is made of several; of plain layers where none is."""
    modules = dict(teacher.named_modules())
    called = {
        name for node in graph.graph.nodes for name, _ in (node.meta.get("nn_module_stack") or {}).values()
    }
    outer = [name for name in modules if name and name in called and not _within(name, called)]
    found: dict[tuple[int, ...], tuple[str, fx.Node]] = {}
    for names in ([name for name in outer if any(modules[name].children())], outer):
        for name, node in _outputs(graph, names).items():
            size = tuple(node.meta["val"].shape[2:])
            if node not in before and len(size) == 2 and max(size) > 1:
                at = found.get(size)
                if at is None or _position(graph, node) > _position(graph, at[1]):
                    found[size] = (name, node)
        if found:
            break
    return dict(found.values())


def _within(name: str, called: set[str]) -> bool:
    """Whether a layer is part of another one, other than the whole network."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in called for count in range(1, len(parts)))


def _position(graph: fx.GraphModule, node: fx.Node) -> int:
    return list(graph.graph.nodes).index(node)


def _named(graph: fx.GraphModule, watched: Sequence[str], before: set[fx.Node]) -> dict[str, fx.Node]:
    found = _outputs(graph, watched)
    for name in watched:
        if name not in found or found[name] in before:
            raise SourceError(f"the layer {name!r} gives nothing behind the cut; name layers that follow it")
    return {name: found[name] for name in watched}


def _head(graph: fx.GraphModule, place: fx.Node) -> fx.GraphModule:
    new = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    kept = _ancestors(place)
    for node in graph.graph.nodes:
        if node in kept or node.op == "placeholder":
            copies[node] = new.node_copy(node, lambda other: copies[other])
    new.output(copies[place])
    return fx.GraphModule(graph, new)


def _tail(
    graph: fx.GraphModule, place: fx.Node, before: set[fx.Node], watched: list[fx.Node]
) -> fx.GraphModule:
    new = fx.Graph()
    features = new.placeholder("features")
    copies = {place: features}
    (output,) = [node for node in graph.graph.nodes if node.op == "output"]
    (given, *_) = [node for node in output.all_input_nodes]
    wanted: set[fx.Node] = set()
    open_ = [given, *watched]
    while open_:
        node = open_.pop()
        if node in wanted or node is place:
            continue
        wanted.add(node)
        if _is_batch(node) or node.op == "get_attr":
            continue
        if node in before or node.op == "placeholder":
            raise SourceError(
                f"behind the cut the network still uses {_maker(node)}, which was made before it; cut where one "
                "layer's output is all that the rest needs"
            )
        open_ += node.all_input_nodes
    for node in graph.graph.nodes:
        if node not in wanted:
            continue
        if _is_batch(node):
            copies[node] = new.call_function(torch.ops.aten.sym_size.int, (features, 0))
            continue
        copies[node] = new.node_copy(node, lambda other: copies[other])
    new.output((copies[given], *(copies[node] for node in watched)))
    return fx.GraphModule(graph, new)


def _maker(node: fx.Node) -> str:
    """The layer that a node belongs to, for people."""
    stack = [name for name, _ in (node.meta.get("nn_module_stack") or {}).values() if name]
    return f"the output of {stack[-1]}" if stack else node.name


def _is_batch(node: fx.Node) -> bool:
    """Whether a node is the number of examples, which the features tell as well."""
    return node.target is torch.ops.aten.sym_size.int and node.args[1:] == (0,)
