"""Builds the distributions and installs the wheel where nothing but the base requirements can be imported."""

from __future__ import annotations

import importlib.metadata as metadata
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SHIPPED = (
    "pyproject.toml", "setup.py", "MANIFEST.in", "Makefile", "LICENSE", "README.md", "CHANGELOG.md", "conftest.py",
    "requirements", "docs", "examples", "tests", "edgepress", "exporters", "hardware", "runtimes", "targets",
)  # fmt: skip


@dataclass(frozen=True)
class Built:
    """The two distributions."""

    sdist: Path
    wheel: Path


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment: edgepress from its wheel, and what a device gets with it."""

    folder: Path

    def run(self, program: str, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in an empty folder, and expect an exit status."""
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=empty, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == status, done.stdout[-1000:] + done.stderr[-2000:]
        return done


def build(folder: Path) -> Built:
    """The sdist of a copy of the checkout, and the wheel built from that sdist."""
    tree = folder / "tree"
    tree.mkdir()
    for name in _SHIPPED:
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy2(ROOT / name, tree / name)
    dist = folder / "dist"
    _call([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(tree)])
    return Built(next(dist.glob("*.tar.gz")), next(dist.glob("*.whl")))


def install(wheel: Path, folder: Path) -> Environment:
    """A virtual environment that sees the base requirements (linked, for speed) and the wheel."""
    _call([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    for distribution in sorted(closure(["click", "numpy", "onnxruntime", "pillow"])):
        for file in metadata.files(distribution) or []:
            top = file.parts[0]
            # Links to where each package lies in this environment; programs in ../../bin are not needed.
            if top != ".." and not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(Path(str(metadata.distribution(distribution).locate_file(top))))
    python = str(folder / "bin" / "python")
    _call([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", str(wheel)])
    return Environment(folder)


def closure(names: list[str]) -> set[str]:
    """The distributions and all that they require, extras and other platforms' apart."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # asked for on another platform only
            continue
        found.add(name)
        waiting += [re.split(r"[^A-Za-z0-9._-]", line)[0] for line in required if "extra ==" not in line]
    return found


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
