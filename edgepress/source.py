"""What can be pressed: a network of the zoo, an ONNX file, or a torch module that your own code makes.

``resolve`` finds out which of these a text means, without loading torch where it need not.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

from edgepress import zoo
from edgepress.errors import EdgepressError, MissingExtraError, SourceError
from edgepress.fingerprint import fingerprint
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
    try:
        from edgepress.graph.external import external_files
    except ImportError:
        raise MissingExtraError("reading an ONNX file", "onnx", "build") from None
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(hashlib.sha256(content).digest())
        for name, place in external_files(content, path).items():
            with place.open("rb") as weights:
                digest.update(repr(name).encode() + hashlib.file_digest(weights, "sha256").digest())
    except OSError as error:
        raise SourceError(
            f"{error.filename or path} cannot be read ({error.strerror}); check that it is a file you may read"
        ) from None
    return Source(
        path.stem, "onnx", digest.hexdigest(), {"kind": "onnx", "name": path.name}, lambda: path, inputs
    )


def _from_callable(model: str, inputs: tuple[TensorSpec, ...]) -> Source:
    place, _, attribute = model.rpartition(":")
    with _beside(place):
        found = home = _import(place, model)
        for name in attribute.split("."):
            with _user_code(f"{model} failed while it was looked up"):
                if not hasattr(found, name):
                    public = [known for known in getattr(found, "__dict__", {}) if not known.startswith("_")]
                    raise SourceError(
                        f"{place} has no {attribute!r}{near(name, public)}; name a module or a function that gives one"
                    )
                found = getattr(found, name)
        network = _module(found, model)
    if not inputs:
        raise SourceError(
            f"{model} does not say what it takes; add --input name:shape:dtype, such as --input image:1x3x224x224"
        )
    with _user_code(f"the weights of {model} cannot be read", "give a module whose weights are set"):
        digest = fingerprint(network, home.__name__)
    origin = {"kind": "torch", "name": Path(place).name + ":" + attribute}
    stem = Path(place).stem if place.endswith(".py") else attribute.split(".")[-1]
    return Source(stem.lower().replace("_", "-"), "torch", digest, origin, lambda: network, inputs)


def _import(place: str, model: str) -> Any:
    """The user's module; a file gets a private name, because it may be called like a module that is in use."""
    with _user_code(f"{model} failed while it was imported"):
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).absolute()
        name = "_edgepress_user_" + re.sub(r"\W", "_", path.stem)
        # As if it were a package, so that "from .sibling import x" works too.
        specification = importlib.util.spec_from_file_location(
            name, path, submodule_search_locations=[str(path.parent)]
        )
        assert specification is not None and specification.loader is not None
        for old in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
            del sys.modules[old]
        loaded = importlib.util.module_from_spec(specification)
        sys.modules[name] = loaded
        try:
            specification.loader.exec_module(loaded)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        return loaded


@contextlib.contextmanager
def _beside(place: str) -> Iterator[None]:
    """Let the user's code find what lies beside it, and torch find torch."""
    if not place.endswith(".py"):
        folder, first = "", True  # a package in the current folder, as with python -m
    else:
        path = Path(place).absolute()
        if not path.is_file():
            raise SourceError(f"{place} does not exist; check the path")
        folder = str(path.parent)
        # torch.py must not stand in for torch: what is installed under the file's own name goes first.
        first = PathFinder.find_spec(path.stem) is None and path.stem not in sys.builtin_module_names
    with contextlib.suppress(ImportError):  # before the user's folder can hide what it needs
        import torch  # noqa: F401
    sys.path.insert(0 if first else len(sys.path), folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(folder)


@contextlib.contextmanager
def _user_code(failed: str, mend: str = "mend it and try again") -> Iterator[None]:
    """Runs the user's code: it may fail in any way, and what it prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield
        except EdgepressError:
            raise
        except ModuleNotFoundError as error:
            if error.name == "torch":
                raise MissingExtraError("pressing a torch module", "torch", "build") from None
            raise SourceError(
                f"{failed}: there is no module {error.name!r}; install it or mend the path"
            ) from None
        except (Exception, SystemExit) as error:
            raise SourceError(f"{failed}: {_sentence(error)}; {mend}") from error


def _sentence(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


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
        with _user_code(f"{model}() failed", "it must work without arguments"):
            found = found()
    if not isinstance(found, torch.nn.Module):
        raise SourceError(f"{model} gave {type(found).__name__}; it must give a torch.nn.Module")
    with _user_code(f"{model} cannot be put into evaluation mode"):
        return found.eval()
