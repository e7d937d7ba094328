"""Find a board by name or by file, read its TOML, follow its ``base`` and check every value.

Boards come from the folder ``boards`` beside this file, and from folders that other distributions name in
the entry point group ``edgepress.targets``. ``host`` is this machine, looked at when asked for.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgepress.errors import TargetError, UsageError
from edgepress.records import RecordError, decode
from edgepress.targets.check import checked
from edgepress.targets.description import Target

BOARDS = Path(__file__).resolve().parent / "boards"
GROUP = "edgepress.targets"
_MOST_BYTES = 1 << 20
_MOST_BASES = 8
_MOST_DEPTH = 8

# Figures that somebody measured on the base say nothing of the board derived from it.
_NOT_INHERITED = ("name", "title", "published")


def load_target(name_or_path: str) -> Target:
    """The board of that name, or the one that a ``.toml`` file describes.

    Args:
        name_or_path: a name that :func:`target_names` lists, or a path that ends in ``.toml``.

    Raises:
        TargetError: no board has that name, or the file cannot be read.
        UsageError: the file has an unknown or missing key, or a wrong value.
    """
    if name_or_path.endswith(".toml"):
        return _from_file(Path(name_or_path))
    if name_or_path == "host":
        from edgepress.targets.detect import host_target

        return host_target()
    return _from_file(_board_file(name_or_path))


def target_names() -> list[str]:
    """Every name that :func:`load_target` takes, sorted.

    Raises:
        TargetError: an installed distribution registers boards that cannot be found.
    """
    others = (name for folder in _plugin_folders() for name in _boards_in(folder))
    return sorted({"host", *_boards_in(BOARDS), *others})


def _from_file(path: Path) -> Target:
    table = _inherited(path, ())
    table.setdefault("name", path.stem)
    if "title" not in table:
        table["title"] = table["name"]
    shown = path.name
    figures = table.get("published")
    for figure in figures if isinstance(figures, list) else ():
        if isinstance(figure, dict):
            figure.setdefault("origin", "published")  # it goes without saying in a board's file
    return checked(_decoded(table, shown), shown)


def _decoded(data: Mapping[str, Any], file: str) -> Target:
    try:
        return decode(Target, data)
    except RecordError as error:
        mend = '; add it, or inherit it with base = "NAME"' if "is missing" in str(error) else ""
        raise UsageError(f"{file}: {error}{mend}") from None


def _inherited(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's table laid over its base's."""
    here = Path(os.path.abspath(path))  # not resolve(): it raises on names that no file can have
    if here in seen:
        chain = " -> ".join(one.stem for one in (*seen, here))
        raise UsageError(f"{path.name} is its own base ({chain}); take one 'base' line out")
    if len(seen) > _MOST_BASES:
        raise UsageError(f"{path.name} is more than {_MOST_BASES} bases deep; name a nearer base")
    table = _read(path)
    base = table.pop("base", None)
    if base is None:
        return table
    if type(base) is not str:
        raise UsageError(f"{path.name} has a 'base' that is not text; give a board's name or a .toml file")
    if base == "host":
        raise UsageError(f"{path.name} has the base 'host', which is no fixed board; name another")
    # A relative base is beside the file that names it, wherever the command runs.
    below = _inherited(path.parent / base if base.endswith(".toml") else _board_file(base), (*seen, here))
    lower = {key: value for key, value in below.items() if key not in _NOT_INHERITED}
    return _laid_over(table, lower, path.name)


def _laid_over(
    upper: Mapping[str, Any], lower: Mapping[str, Any], file: str, depth: int = 0
) -> dict[str, Any]:
    """Tables merge key by key; anything else is replaced."""
    if depth > _MOST_DEPTH:  # dotted keys nest without end, and tomllib lets them
        raise UsageError(f"{file} is nested more than {_MOST_DEPTH} tables deep; no board's file is")
    merged = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _laid_over(value, below, file, depth + 1)
        merged[key] = value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
            raise TargetError(f"cannot read the board's file {path} (it is no regular file); check the path")
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TargetError(f"cannot read the board's file {path} ({reason}); check the path") from None
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{path.name} is larger than {_MOST_BYTES} bytes; a board's file is a page of TOML")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"{path.name} is not valid TOML ({reason}); mend it there") from None


def _board_file(name: str) -> Path:
    own = _boards_in(BOARDS)
    if name in own:  # the common case asks no other distribution
        return own[name]
    for folder in _plugin_folders():
        found = _boards_in(folder).get(name)
        if found:
            return found
    near = difflib.get_close_matches(name, target_names(), n=3, cutoff=0.4)
    hint = f"near it: {', '.join(near)}; " if near else ""
    raise TargetError(
        f"no board is called {name[:80]!r}; {hint}'edgepress targets' lists all, and a path ending in .toml "
        "names one's own"
    )


def _boards_in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.toml")) if path.stem != "host"}


def _plugin_folders() -> Iterator[Path]:
    from importlib.metadata import entry_points

    for point in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        try:
            found = point.load()
            # A package stands for its own folder; anything else is the folder's path.
            folder = (
                Path(next(iter(found.__path__))) if hasattr(found, "__path__") else Path(os.fspath(found))
            )
        except Exception as error:  # somebody else's code: whatever it raises, say whose it is
            raise TargetError(
                f"the boards registered as {point.name!r} ({point.value}) cannot be found: {error}; "
                "repair or uninstall that distribution"
            ) from None
        yield folder
