"""What can be pressed: a network of the zoo, an ONNX file, or a torch module that your own code makes.

``resolve`` finds out which of these a text means, without loading torch where it need not.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgepress import zoo
from edgepress.errors import MissingExtraError, SourceError
from edgepress.inputs import InputKind
from edgepress.records import near
from edgepress.tensor import TensorSpec


@dataclass(frozen=True)
class Source:
    """A model to press.

    Attributes:
        name: what it is called in file names and reports.
        kind: ``torch`` (``load`` gives a module) or ``onnx`` (``load`` gives a path).
        digest: changes when the model does.
        origin: where it came from, for the manifest; no path of this machine.
        load: gives the model.
        inputs: the tensors it takes, as far as they are known; an ONNX file says so itself.
        outputs: names for its outputs, in order; empty leaves them to the exporter.
        prepare: how each input is made, by tensor name.
        labels: class names for the first output; empty where it gives no class scores.
    """

    name: str
    kind: Literal["torch", "onnx"]
    digest: str
    origin: dict[str, str]
    load: Callable[[], Any]
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    prepare: dict[str, InputKind] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def resolve(model: str, inputs: tuple[TensorSpec, ...] = ()) -> Source:
    """Find the model that a text means.

    Args:
        model: a name of the zoo, ``path.onnx``, ``package.module:callable`` or ``file.py:callable``.
            The callable is a ``torch.nn.Module`` object, or a function or class that gives one when called.
        inputs: the tensors that the model takes, where it cannot say so itself.

    Raises:
        SourceError: there is no such model; the message says what was tried.
        MissingExtraError: the model needs a package that is not installed.
    """
    if model in zoo.names():
        return _from_zoo(model)
    if model.endswith(".onnx"):
        return _from_onnx(Path(model), inputs)
    if ":" in model:
        return _from_callable(model, inputs)
    if Path(model).exists():
        raise SourceError(
            f"{model} is no model that can be read; give an .onnx file, or file.py:callable for torch code"
        )
    raise SourceError(
        f"there is no model {model!r}{near(model, zoo.names())}; give a name of the zoo ({', '.join(zoo.names())}), "
        "a path.onnx, or package.module:callable"
    )


def _from_zoo(name: str) -> Source:
    entry = zoo.entry(name)
    labels = tuple(entry.labels.read_text(encoding="utf-8").splitlines())
    origin = {"kind": "zoo", "name": name, "about": entry.about}
    return Source(
        name,
        "torch",
        entry.digest(),
        origin,
        entry.module,
        entry.inputs,
        entry.outputs,
        entry.prepare,
        labels,
    )


def _from_onnx(path: Path, inputs: tuple[TensorSpec, ...]) -> Source:
    if not path.is_file():
        raise SourceError(f"{path} does not exist; check the path")
    digest = hashlib.sha256()
    try:
        for file in [path, *sorted(path.parent.glob(f"{path.name}*data*"))]:
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror}); check that it is a file you may read"
        ) from None
    return Source(
        path.stem, "onnx", digest.hexdigest(), {"kind": "onnx", "name": path.name}, lambda: path, inputs
    )


def _from_callable(model: str, inputs: tuple[TensorSpec, ...]) -> Source:
    place, _, attribute = model.rpartition(":")
    found = _import(place, model)
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [known for known in vars(found) if not known.startswith("_")]
            raise SourceError(
                f"{place} has no {attribute!r}{near(name, public)}; name a module or a function that gives one"
            )
        found = getattr(found, name)
    network = _module(found, model)
    if not inputs:
        raise SourceError(
            f"{model} does not say what it takes; add --input name:shape:dtype, such as --input image:1x3x224x224"
        )
    origin = {"kind": "torch", "name": Path(place).name + ":" + attribute}
    stem = Path(place).stem if place.endswith(".py") else attribute.split(".")[-1]
    return Source(
        stem.lower().replace("_", "-"), "torch", _fingerprint(network), origin, lambda: network, inputs
    )


def _import(place: str, model: str) -> Any:
    try:
        if not place.endswith(".py"):
            sys.path.insert(0, "")  # a package in the current folder, as with python -m
            try:
                return importlib.import_module(place)
            finally:
                sys.path.remove("")
        path = Path(place).absolute()
        if not path.is_file():
            raise SourceError(f"{place} does not exist; check the path")
        specification = importlib.util.spec_from_file_location(path.stem, path)
        assert specification is not None and specification.loader is not None
        loaded = importlib.util.module_from_spec(specification)
        sys.modules[path.stem] = loaded
        sys.path.insert(0, str(path.parent))
        try:
            specification.loader.exec_module(loaded)
        finally:
            sys.path.remove(str(path.parent))
        return loaded
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingExtraError("pressing a torch module", "torch", "build") from None
        raise SourceError(
            f"{model} cannot be imported: there is no module {error.name!r}; install it or mend the path"
        ) from None
    except SourceError:
        raise
    except Exception as error:  # the user's code may fail in any way
        raise SourceError(
            f"{model} failed while it was imported: {type(error).__name__}: {error}; mend it and try again"
        ) from error


def _module(found: Any, model: str) -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtraError("pressing a torch module", "torch", "build") from None
    if not isinstance(found, torch.nn.Module):
        if not callable(found):
            raise SourceError(
                f"{model} is {type(found).__name__}; name a torch module or a function that gives one"
            )
        torch.manual_seed(0)  # a network with random weights is the same one in every build
        try:
            found = found()
        except Exception as error:  # the user's code may fail in any way
            raise SourceError(
                f"{model}() failed: {type(error).__name__}: {error}; it must work without arguments"
            ) from error
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{model} gave {type(found).__name__}; it must give a torch.nn.Module")
    return found.eval()


def _fingerprint(network: Any) -> str:
    """Names a module by its structure, its weights and the code of its own classes."""
    digest = hashlib.sha256(repr(network).encode())
    for kind in sorted({type(module) for module in network.modules()}, key=lambda kind: kind.__qualname__):
        if not kind.__module__.startswith("torch."):
            try:
                digest.update(inspect.getsource(kind).encode())
            except (OSError, TypeError):
                digest.update(kind.__qualname__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(_byte_type()).numpy().tobytes())
    return digest.hexdigest()


def _byte_type() -> Any:
    import torch

    return torch.uint8
