"""What a worker is asked to run, and where the files for it lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgepress.paths import cache_dir
from edgepress.tensor import TensorSpec

ROOT = Path(__file__).resolve().parents[3]
PRECISIONS = ("fp32", "int8")


@dataclass(frozen=True)
class Task:
    """One network in one precision.

    Attributes:
        network: its name, as :func:`tests.benchmarks.peers.networks.network` takes it.
        size, width: MobileNetV2's input extent and its width.
        precision: ``fp32`` or ``int8``.
        threads: how many an engine may use.
        graphs: the folder with ``fp32.onnx``, ``int8.onnx`` and what ONNX Runtime makes of them.
    """

    network: str
    size: int
    width: float
    precision: str
    threads: int
    graphs: str

    @property
    def model(self) -> Path:
        """The ONNX graph of this precision."""
        return Path(self.graphs) / f"{self.precision}.onnx"

    @property
    def facts(self) -> dict[str, Any]:
        """What preparation wrote about the network."""
        found: dict[str, Any] = json.loads((Path(self.graphs) / "facts.json").read_text("utf-8"))
        return found

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the graph's order."""
        return tuple(_spec(entry) for entry in self.facts["inputs"])

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the graph's order."""
        return tuple(_spec(entry) for entry in self.facts["outputs"])

    def to_json(self) -> dict[str, Any]:
        """Plain data, from which ``Task(**data)`` makes it again."""
        return asdict(self)


def _spec(entry: dict[str, Any]) -> TensorSpec:
    return TensorSpec(entry["name"], tuple(entry["shape"]), entry["dtype"])


def kept(kind: str, files: Iterable[Path], *words: object) -> Path:
    """The cache folder for something made of the given files and words; made again when any changes."""
    seal = hashlib.sha256(repr(words).encode())
    for file in sorted(files):
        seal.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return cache_dir() / "benchmarks" / f"{kind}-{seal.hexdigest()[:12]}"


def package_version(name: str) -> str:
    """The installed version, or an ImportError that says what to install."""
    try:
        return version(name)
    except PackageNotFoundError:
        raise ImportError(f"{name} is not installed; pip install 'edgepress[bench]'") from None
