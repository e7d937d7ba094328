"""Start a module of edgepress in a process of its own, wherever edgepress lies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import edgepress


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter; the current folder is not looked through."""
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment() -> dict[str, str]:
    """This process's environment, in which a child finds this very edgepress."""
    home = str(Path(edgepress.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": paths}
