"""Compression methods: what presses a graph, or trains a torch module; one a file or folder.

A method of your own is an entry point of the group ``edgepress.methods`` whose object is a :class:`Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepress.errors import MissingExtraError, UsageError
from edgepress.progress import Progress
from edgepress.records import RecordError, decode, near
from edgepress.tensor import TensorSpec

if TYPE_CHECKING:
    import onnx
    import torch

    from edgepress.training.sets import Sets

Feeds = Mapping[str, np.ndarray]
BUILT_IN = {
    "none": "edgepress.methods.none:METHOD",
    "int8": "edgepress.methods.int8:METHOD",
    "ternary": "edgepress.methods.ternary:METHOD",
    "entropic-student": "edgepress.methods.entropic_student:METHOD",
}
GROUP = "edgepress.methods"
_EXTRAS = {"onnx": "build", "onnxruntime": "", "torch": "build", "safetensors": "train"}


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
Tensors = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Trained:
    """What a training gives: tensors, from which :attr:`Training.press` makes the module again.

    Attributes:
        tensors: of the trained network, by name.
        reference: of the float network that it is held against, where that was trained too; None where the
            source's own weights are that network.
        facts: JSON-ready: how it was trained and what became of it; the same for the same seed.
    """

    tensors: Tensors
    reference: Tensors | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """What surrounds a training.

    Attributes:
        inputs: the tensors that the network takes; their first axis counts examples.
        scores: whether its first output is known to be class scores.
        folder: where checkpoints are kept; a training found there goes on.
        progress: told of each step.
        kept: told of each checkpoint, in words: what is kept.
    """

    inputs: tuple[TensorSpec, ...]
    scores: bool
    folder: Path
    progress: Progress
    kept: Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """The second road: a method that trains torch modules. None of these changes the module it is given.

    Attributes:
        check: ``check(module, config)`` gives whether there is anything to train, so that data are needed; it
            refuses, before hours of training, what cannot be pressed.
        train: ``train(module, sets, config, course)``; ``sets`` is None where there is nothing to train.
        press: ``press(module, config, tensors)`` gives the module to export, as the part ``main``, and facts on it.
        key: ``key(config)`` is what the trained weights depend on, JSON-ready: options, the user's code that they name.

    Its configuration has the fields ``held_out`` (the share of examples to score on), ``augment`` (how pictures of a
    folder are changed at random: ``none``, ``shift`` or ``shift and mirror``) and ``rest`` (what becomes of the layers
    that it leaves: ``int8`` or ``float``); its facts list these as ``left``, each a ``layer`` and ``why``.
    """

    check: Callable[[torch.nn.Module, Any], bool]
    train: Callable[[torch.nn.Module, Sets | None, Any, Course], Trained]
    press: Callable[[torch.nn.Module, Any, Tensors], Pressed]
    key: Callable[[Any], Any]


def _press_no_graph(
    graph: onnx.ModelProto, calibration: Sequence[Feeds], config: Any, activations: str, progress: Progress
) -> Pressed:
    raise UsageError("the method trains torch modules, and presses no graph; give torch code")


@dataclass(frozen=True)
class Method:
    """A way to press a graph, or to train a module.

    Attributes:
        name: what ``--method`` takes.
        summary: one sentence for people.
        config: a frozen dataclass whose fields, all with defaults, are the recipe's keys.
        press: ``press(graph, calibration, config, activations, progress)``: a float graph with known shapes,
            inputs to calibrate on (may be empty where ``needs_data`` is false), the configuration, the
            integer type of activations on the target (``uint8`` or ``int8``), and who is told of progress.
            Refuses every graph where the method trains.
        needs_data: whether ``press`` looks at the calibration inputs.
        training: what it does instead of ``press`` where it trains a torch module.
    """

    name: str
    summary: str
    config: type[Any]
    press: Press = _press_no_graph
    needs_data: bool = False
    training: Training | None = None


def method_names() -> tuple[str, ...]:
    """Names of the built-in methods and of those that installed packages bring, sorted."""
    return tuple(sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


def find_method(name: str) -> Method:
    """The method of that name; those of edgepress come before others' of the same name.

    Raises:
        UsageError: there is none, or what another package registered is no method.
        MissingExtraError: it needs a package that is not installed.
    """
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        try:
            found = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            raise MissingExtraError(f"the method {name}", package, _EXTRAS[package]) from None
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
