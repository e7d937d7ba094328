"""What can be pressed: a network of the zoo, an ONNX file, or a torch module that your own code makes.

``resolve`` finds out which of these a text means, without loading torch where it need not.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import enum
import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgepress import zoo
from edgepress.errors import EdgepressError, MissingExtraError, SourceError
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
        digest = _fingerprint(network, home.__name__)
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


def _fingerprint(network: Any, home: str) -> str:
    """Names a module by its structure, its weights, its settings, and the user's code that it was made with.

    Args:
        home: the module in which its factory stands.
    """
    digest = hashlib.sha256(repr(network).encode())
    kinds = sorted({type(module) for module in network.modules()}, key=lambda kind: kind.__qualname__)
    for kind in kinds:
        if not kind.__module__.startswith("torch."):
            try:
                digest.update(inspect.getsource(kind).encode())
            except (OSError, TypeError):
                digest.update(kind.__qualname__.encode())
    content = _Content(digest)
    content.add(dict(sorted(network.state_dict().items())))
    content.add(network)
    for name, code in sorted(_own_code({home, *(kind.__module__ for kind in kinds)}).items()):
        digest.update(f"{name} {len(code)} ".encode() + code)
    return digest.hexdigest()


class _Content:
    """Adds values to a digest: numbers, texts, arrays, tensors, and what holds them."""

    def __init__(self, digest: Any) -> None:
        import torch

        self.digest = digest
        self.torch = torch
        self.inner = set(vars(torch.nn.Module())) - {"training"}  # what every torch module keeps for itself
        self.seen: dict[int, tuple[int, Any]] = {}  # the objects too, so that no id is given out twice

    def add(self, value: Any) -> None:
        """Add one value; of what is not known, its type."""
        kind = type(value)
        self.digest.update(f"<{kind.__module__}.{kind.__qualname__}>".encode())
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic, enum.Enum)):
            self._text(repr(value))
        elif isinstance(value, (self.torch.dtype, self.torch.device, self.torch.layout)):
            self._text(str(value))
        elif isinstance(value, (set, frozenset)):
            self._text(repr(sorted(map(repr, value))))
        elif id(value) in self.seen:
            self._text(str(self.seen[id(value)][0]))
        else:
            self.seen[id(value)] = (len(self.seen), value)
            self._add_holder(value)

    def _add_holder(self, value: Any) -> None:
        if isinstance(value, self.torch.Tensor):
            self._tensor(value)
        elif isinstance(value, np.ndarray):
            self._text(f"{value.dtype} {value.shape}")
            self.add(value.tolist() if value.dtype.hasobject else value.tobytes())
        elif isinstance(value, dict):
            self._text(str(len(value)))
            for key, item in value.items():
                self.add(key)
                self.add(item)
        elif isinstance(value, (tuple, list)):
            self._text(str(len(value)))
            for item in value:
                self.add(item)
        elif isinstance(value, self.torch.nn.Module):
            self.add({name: item for name, item in vars(value).items() if name not in self.inner})
            for part in (value._parameters, value._buffers, value._modules):
                self.add(part)
        elif isinstance(value, functools.partial):
            self.add((value.func, value.args, value.keywords))
        elif isinstance(value, types.FunctionType):
            cells = [cell for cell in value.__closure__ or () if cell != types.CellType()]
            self._text(f"{value.__module__}.{value.__qualname__}")
            self.add((value.__defaults__, value.__kwdefaults__, [cell.cell_contents for cell in cells]))
        elif isinstance(value, (type, types.BuiltinFunctionType)):
            self._text(f"{value.__module__}.{value.__qualname__}")
        elif dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace) or _is_own(value):
            self.add(dict(getattr(value, "__dict__", {})))

    def _text(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        self.digest.update(f"{len(data)}:".encode() + data)

    def _tensor(self, tensor: Any) -> None:
        self._text(f"{tensor.dtype} {tuple(tensor.shape)} {tensor.layout}")
        plain = tensor.detach().cpu()
        if plain.is_quantized:
            self._text(str(plain.qscheme()))
            plain = self.torch.cat([plain.int_repr().reshape(-1), plain.dequantize().reshape(-1)])
        plain = plain.to_dense() if plain.layout != self.torch.strided else plain
        plain = plain.resolve_conj().resolve_neg().contiguous().reshape(-1)
        self.digest.update(plain.view(self.torch.uint8).numpy().tobytes())


# The code of each module as it was when it was first looked at: a file that changes later is not what runs.
_seen_code: weakref.WeakKeyDictionary[types.ModuleType, tuple[Any, bytes]] = weakref.WeakKeyDictionary()


def _own_code(start: set[str]) -> dict[str, bytes]:
    """The files of the user's modules that ``start`` names, of their packages, and of all that these import."""
    found: dict[str, bytes] = {}
    waiting = set(start)
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        file = _own_file(module)
        if name in found or module is None or file is None:
            continue
        specification, code = _seen_code.get(module, (None, b""))
        if specification is None or specification is not module.__spec__:  # a reload makes a new one
            code = file.read_bytes() if file.is_file() else b""
            _seen_code[module] = (module.__spec__, code)
        found[name] = code
        package = name.split(".")[0] + "."
        waiting.update(known for known in list(sys.modules) if known.startswith(package))
        if file.suffix == ".py":
            waiting.update(_imported(code, module.__package__ or ""))
    return found


def _imported(code: bytes, package: str) -> Iterator[str]:
    """The full names of what a file's import statements may bring."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                with contextlib.suppress(ImportError):
                    base = importlib.util.resolve_name("." * node.level + base, package)
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[: length + 1]) for length in range(len(parts)))


def _own_file(module: Any) -> Path | None:
    """The file of a module that the user wrote; None for Python's own, for what is installed, and for edgepress."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or module.__name__.split(".")[0] == "edgepress":
        return None
    path = Path(file).absolute()
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    standard = any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in installed)
    return None if standard or {"site-packages", "dist-packages"} & set(path.parts) else path


def _is_own(value: Any) -> bool:
    return _own_file(sys.modules.get(type(value).__module__)) is not None
