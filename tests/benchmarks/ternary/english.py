"""Text that every Python brings: its own manual's topics and its standard library's docstrings, as bytes."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import Tensor

_LEFT = {"__pycache__", "idle_test", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "turtledemo"}
_HELD = 10  # one document of so many is held out


@dataclass(frozen=True)
class Text:
    """Documents, split and joined.

    Attributes:
        train, held: uint8 bytes.
        digest: of both; it differs between versions of Python.
        origin: which Python.
    """

    train: Tensor
    held: Tensor
    digest: str
    origin: str


def read_text() -> Text:
    """This Python's text, some two million bytes."""
    root = Path(sysconfig.get_path("stdlib"))
    documents = [topics[name] for name in sorted(topics)]
    for path in sorted(root.rglob("*.py")):
        if not _LEFT.intersection(path.relative_to(root).parts):
            documents += _docstrings(path)
    return split(documents, f"Python {sys.version.split()[0]}")


def split(documents: Iterable[str], origin: str) -> Text:
    """Every tenth document held out, of those that differ."""
    parts = [b"", b""]
    for place, text in enumerate(dict.fromkeys(documents)):
        parts[place % _HELD == _HELD - 1] += text.strip().encode("utf-8", "replace") + b"\n\n"
    train, held = (torch.frombuffer(bytearray(part), dtype=torch.uint8) for part in parts)
    digest = hashlib.sha256(parts[0] + b"\0" + parts[1]).hexdigest()
    return Text(train, held, digest, origin)


def _docstrings(path: Path) -> list[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, holders))
    return [text for text in found if text]
