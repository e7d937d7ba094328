"""Rules of the house that need no judgement: sizes, names, docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.structure.house import ROOT, modules, source_files

MOST_LINES = 400
BANNED_NAMES = ("util", "common", "helper", "misc")
PRINTS = {
    "edgepress.evaluate.device_process": "a child process, which answers its parent on standard output",
    "edgepress.hardware.fresh": "its child process answers its parent on standard output",
    "edgepress.hardware.relay": "a process of its own, which says when and where it listens",
}


@pytest.mark.parametrize("file", source_files(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_short_and_named_for_what_it_does(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert not any(
        word in part for word in BANNED_NAMES for part in file.relative_to(ROOT).with_suffix("").parts
    )


def test_every_module_says_what_it_is() -> None:
    silent = [
        name for name, file in modules().items() if not ast.get_docstring(ast.parse(file.read_text("utf-8")))
    ]
    assert not silent


def test_every_public_function_and_class_says_what_it_does() -> None:
    """At the top of a module; methods and nested functions speak through these, overloads through what follows."""
    silent = [
        f"{name}.{node.name}"
        for name, file in modules().items()
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and "overload" not in map(ast.unparse, node.decorator_list)
    ]
    assert not silent


def test_no_module_prints_or_exits_below_the_command_line() -> None:
    guilty = [
        f"{name}:{node.lineno}"
        for name, file in modules().items()
        if not name.startswith(("edgepress.cli", "edgepress.__main__")) and name not in PRINTS
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "exit")
    ]
    assert not guilty


def test_nothing_unpickles() -> None:
    guilty = [
        name
        for name, file in modules().items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if _unpickles(node)
    ]
    assert not guilty


def _unpickles(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name in ("pickle", "dill", "joblib") for alias in node.names)
    safe = {"allow_pickle": False, "weights_only": True}
    if isinstance(node, ast.keyword) and node.arg in safe:
        return not (isinstance(node.value, ast.Constant) and node.value.value is safe[node.arg])
    return False
