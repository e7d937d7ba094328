"""Names a torch network by all that decides what it computes: structure, weights, attributes and the user's code."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import enum
import functools
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def fingerprint(network: Any, home: str) -> str:
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
    _add_code(digest, {home, *(kind.__module__ for kind in kinds)})
    return digest.hexdigest()


def code_fingerprint(home: str) -> str:
    """Names the user's code in a module and in all that it imports."""
    digest = hashlib.sha256()
    _add_code(digest, {home})
    return digest.hexdigest()


def _add_code(digest: Any, start: set[str]) -> None:
    for name, code in sorted(_own_code(start).items()):
        digest.update(f"{name} {len(code)} ".encode() + code)


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
