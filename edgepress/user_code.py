"""The user's own Python: found by ``package.module:name`` or ``file.py:name``, and run so that its failures are told.

What it prints goes to standard error; whatever it raises becomes one sentence.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from edgepress.errors import EdgepressError, MissingExtraError, SourceError
from edgepress.records import near

CALLED = "mend it (it is called without arguments)"


def look_up(text: str, mend: str) -> tuple[Any, Any]:
    """What ``place:attribute`` names, and the module in which it stands; call it within :func:`beside`.

    Args:
        text: ``package.module:name`` or ``file.py:name``; names may have dots.
        mend: what to name instead, for the message.

    Raises:
        SourceError: there is no such module or no such name in it, or importing it failed.
    """
    place, _, attribute = text.rpartition(":")
    found = home = _import(place, text)
    for name in attribute.split("."):
        with user_code(f"{text} failed while it was looked up"):
            if not hasattr(found, name):
                public = [known for known in getattr(found, "__dict__", {}) if not known.startswith("_")]
                raise SourceError(f"{place} has no {attribute!r}{near(name, public)}; {mend}")
            found = getattr(found, name)
    return found, home


def _import(place: str, model: str) -> Any:
    """The user's module; a file gets a private name, because it may be called like a module that is in use."""
    with user_code(f"{model} failed while it was imported"):
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
def beside(place: str) -> Iterator[None]:
    """Let the user's code find what lies beside it, and torch find torch.

    Raises:
        SourceError: ``place`` ends in .py, and there is no such file.
    """
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
def user_code(failed: str, mend: str = "mend it and try again") -> Iterator[None]:
    """Run the user's code: it may fail in any way, and what it prints goes to standard error.

    Raises:
        SourceError: it failed; the message is ``failed``, the cause and ``mend``.
    """
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
            raise SourceError(f"{failed}: {sentence(error)}; {mend}") from error


def sentence(error: BaseException) -> str:
    """An exception in one line of at most 300 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
