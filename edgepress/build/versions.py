"""What made a bundle: the versions of the tools, and a digest of edgepress's own code."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

from edgepress.version import __version__

_TOOLS = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "apache-tvm",
    "ziglang",
    "numpy",
    "pillow",
    "unicorn",
    "wasmtime",
)
_ROOMS = ("", "exporters", "runtimes", "targets", "hardware")


def tool_versions() -> dict[str, str]:
    """The installed version of each tool, without importing any."""
    found = {"edgepress": __version__, "python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_digest() -> str:
    """Changes when any file of edgepress changes, so that a step made by older code is made again."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        folder = (package / room).resolve()
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".toml", ".txt") and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
