"""Every error edgepress raises on purpose, and the exit code each one gives the command line.

::

    EdgepressError                 1   something failed that has no better name
    ├── UsageError                 2   an option, a recipe key or an argument is wrong
    ├── SourceError                3   the model cannot be read or exported
    │   └── UnsupportedOpError     3   an operator of the model has no road to the target
    ├── DataError                  4   a picture, a recording, a stream or a data folder is not what it should be
    │   └── OtherStreamError       4   a stream of another codec or student than the one that is to read it
    ├── TargetError                5   the board is unknown, or this machine is not the board asked for
    ├── CompileError               6   the compiler or the linker failed
    ├── CheckError                 7   a golden output, the accuracy gate or a board check did not pass
    ├── BundleError                8   a bundle is damaged, or is no bundle
    ├── TrustError                 9   machine code from elsewhere, and nobody said to trust it
    ├── MissingExtraError         10   an optional dependency is not installed
    ├── StorageError              11   no space, or a file cannot be written
    └── NoAnswerError             12   no server answered in time, and nothing here could

Ctrl-C ends a command with 130, as shells expect.

A message is one sentence that names the cause and, after a semicolon or in a second clause, the mend.
"""

from __future__ import annotations

from typing import ClassVar


class EdgepressError(Exception):
    """The root of the tree; catch it to catch every error edgepress raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(EdgepressError):
    """An option, a recipe key or an argument is wrong."""

    exit_code = 2


class SourceError(EdgepressError):
    """The model cannot be read or exported."""

    exit_code = 3


class UnsupportedOpError(SourceError):
    """An operator of the model has no road to the target.

    Args:
        op: the operator's type, such as ``"aten::nonzero"`` or ``"NonMaxSuppression"``.
        where: the module or node that it comes from.
        mend: what the user can do about it.
    """

    def __init__(self, op: str, where: str, mend: str) -> None:
        super().__init__(f"the operator {op} (from {where}) cannot be taken to the target; {mend}")
        self.op = op
        self.where = where


class DataError(EdgepressError):
    """A picture, a recording, a stream or a data folder is not what it should be."""

    exit_code = 4


class OtherStreamError(DataError):
    """A stream of another codec or student than the one that is to read it."""


class TargetError(EdgepressError):
    """The board is unknown, or this machine is not the board asked for."""

    exit_code = 5


class CompileError(EdgepressError):
    """The compiler or the linker failed."""

    exit_code = 6


class CheckError(EdgepressError):
    """A golden output, the accuracy gate or a board check did not pass."""

    exit_code = 7


class BundleError(EdgepressError):
    """A bundle is damaged, or is no bundle."""

    exit_code = 8


class TrustError(EdgepressError):
    """Machine code from elsewhere, and nobody said to trust it."""

    exit_code = 9


class MissingExtraError(EdgepressError):
    """An optional dependency is not installed.

    Args:
        need: what was about to happen, such as ``"building a bundle"``.
        package: the distribution that is missing.
        extra: the extra of edgepress that brings it; empty where the base install does.
    """

    exit_code = 10

    def __init__(self, need: str, package: str, extra: str) -> None:
        name = f"edgepress[{extra}]" if extra else "edgepress"
        super().__init__(f"{need} needs {package}; install it with: pip install '{name}'")
        self.package = package
        self.extra = extra


class StorageError(EdgepressError):
    """No space is left, or a file cannot be written."""

    exit_code = 11


class NoAnswerError(EdgepressError):
    """No server answered in time, and nothing here could answer in its place."""

    exit_code = 12
