"""The house as it lies on disk: which module is in which file, and what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINKED = ("exporters", "hardware", "runtimes", "targets")


@dataclass(frozen=True)
class Import:
    """One import statement: the module it brings, its line, and whether it stands at the module's top."""

    module: str
    line: int
    at_top: bool


def folders() -> dict[str, Path]:
    """Import name to folder, for the folders that hold the code."""
    return {"edgepress": ROOT / "edgepress", **{f"edgepress.{name}": ROOT / name for name in LINKED}}


def packages() -> dict[str, Path]:
    """Import name to folder of every package: each folder with an ``__init__.py``; links are not followed."""
    found = {}
    for name, folder in folders().items():
        for init in folder.rglob("__init__.py"):
            below = init.parent.relative_to(folder)
            if not any((folder / part).is_symlink() for part in below.parts[:1]):
                found[".".join((name, *below.parts))] = init.parent
    return dict(sorted(found.items()))


def modules() -> dict[str, Path]:
    """Import name to file of every module."""
    found = {}
    for name, folder in packages().items():
        for file in sorted(folder.glob("*.py")):
            found[name if file.stem == "__init__" else f"{name}.{file.stem}"] = file
    return found


def source_files() -> list[Path]:
    """Every hand-written source file of the repository: Python, C and headers."""
    tops = [*folders().values(), ROOT / "tests", ROOT / "examples"]
    files = {path for top in tops for suffix in ("py", "c", "h") for path in top.rglob(f"*.{suffix}")}
    return sorted(path for path in files if path.resolve() == path)


def imports(name: str, file: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Every import of edgepress's own modules in a file, lazy ones too; those only for types are left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    yield from _walk(tree.body, name, file.stem == "__init__", known, True)


def _walk(
    body: list[ast.stmt] | list[ast.AST], name: str, is_package: bool, known: dict[str, Path], at_top: bool
) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield from _walk(node.orelse, name, is_package, known, at_top)
        elif isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, is_package)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(whole if whole in known else base, node.lineno, at_top)
        else:
            if isinstance(node, ast.Call) and _called(node) == "import_module" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(first.value, node.lineno, at_top)
            inside = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _walk(list(ast.iter_child_nodes(node)), name, is_package, known, inside)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    above = name.split(".")[: len(name.split(".")) - node.level + is_package]
    return ".".join([*above, *([node.module] if node.module else [])])


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""
