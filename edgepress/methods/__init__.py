"""Compression methods: what presses a graph, one a file or folder.

A method of your own is an entry point of the group ``edgepress.methods`` whose object is a :class:`Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.errors import UsageError
from edgepress.progress import Progress
from edgepress.records import RecordError, decode, near

if TYPE_CHECKING:
    import onnx
    import torch

Feeds = Mapping[str, np.ndarray]
BUILT_IN = {"none": "edgepress.methods.none:METHOD", "int8": "edgepress.methods.int8:METHOD"}
GROUP = "edgepress.methods"


@dataclass(frozen=True)
class Part:
    """One network of a pressed model: a graph or a torch module, and the tables that go with it.

    Attributes:
        graph: the part's ONNX graph, where the method works on graphs.
        module: the part's torch module, still to be exported, where it does not.
        tables: what is not a graph, such as integer probabilities, by name.
    """

    graph: onnx.ModelProto | None = None
    module: torch.nn.Module | None = None
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Pressed:
    """What a method gives: named parts (``main`` where there is one), and JSON-ready facts on how it was
    made."""

    parts: Mapping[str, Part]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> onnx.ModelProto:
        """The graph of the only part.

        Raises:
            ValueError: there are several parts, or the only one is a torch module.
        """
        graphs = [part.graph for part in self.parts.values()]
        if len(graphs) != 1 or graphs[0] is None:
            raise ValueError(f"no single graph among the parts {', '.join(self.parts)}")
        return graphs[0]


Press = Callable[["onnx.ModelProto", Sequence[Feeds], Any, str, Progress], Pressed]


@dataclass(frozen=True)
class Method:
    """A way to press a graph.

    Attributes:
        name: what ``--method`` takes.
        summary: one sentence for people.
        config: a frozen dataclass whose fields, all with defaults, are the recipe's keys.
        press: ``press(graph, calibration, config, activations, progress)``: a float graph with known shapes,
            inputs to calibrate on (may be empty where ``needs_data`` is false), the configuration, the
            integer type of activations on the target (``uint8`` or ``int8``), and who is told of progress.
        needs_data: whether ``press`` looks at the calibration inputs.
    """

    name: str
    summary: str
    config: type[Any]
    press: Press
    needs_data: bool = False


def method_names() -> tuple[str, ...]:
    """Names of the built-in methods and of those that installed packages bring, sorted."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def find_method(name: str) -> Method:
    """The method of that name; those of edgepress come before others' of the same name.

    Raises:
        UsageError: there is none, or what another package registered is no method.
    """
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        found = getattr(import_module(module), attribute)
    else:
        points = [point for point in entry_points(group=GROUP) if point.name == name]
        if not points:
            hint = near(name, method_names()) or f"; there are {', '.join(method_names())}"
            raise UsageError(f"no method is called {name!r}{hint}")
        found = points[0].load()
    if not isinstance(found, Method):
        raise UsageError(
            f"the method {name!r} is registered as {type(found).__name__}, not as an edgepress Method"
        )
    return found


def configure(method: Method, keys: Mapping[str, Any]) -> Any:
    """The method's configuration with the given recipe keys; the rest have their defaults.

    Raises:
        UsageError: a key is unknown (the nearest is named), or its value has the wrong type or is out of
            range.
    """
    try:
        return decode(method.config, keys)
    except RecordError as error:
        raise UsageError(f"the method {method.name}: {error}") from None
