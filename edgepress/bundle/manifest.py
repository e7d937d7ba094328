"""The manifest: what a bundle holds and how it was made, as records that are read strictly."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from edgepress.errors import BundleError
from edgepress.inputs import InputKind
from edgepress.outputs import OutputKind
from edgepress.records import RecordError, decode, encode
from edgepress.tensor import TensorSpec

FORMAT = "edgepress-bundle"
VERSION = 1


@dataclass(frozen=True)
class Member:
    """One member of the archive: its length in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoredTensor:
    """An initialiser that lies outside its graph, in the part's ``weights.bin``."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


@dataclass(frozen=True)
class Graph:
    """An ONNX graph: its member, its IR version and opset, the member that holds its weights, and where each lies."""

    member: str
    ir: int
    opset: int
    weights: str = ""
    tensors: tuple[StoredTensor, ...] = ()


@dataclass(frozen=True)
class EngineFiles:
    """What one compiler made of a part.

    Attributes:
        graph: for engines that run a graph.
        files: role (``library``, ``archive``, ``header``, ``source`` …) to member.
        arena_bytes: for the CPU engine, what every temporary takes together.
        facts: what else is worth knowing, such as bytes of machine code or emulated instructions.
    """

    graph: Graph | None = None
    files: dict[str, str] = field(default_factory=dict)
    arena_bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """One golden example of a part: tensor name to ``.npy`` member, for inputs and for outputs."""

    inputs: dict[str, str]
    outputs: dict[str, str]


@dataclass(frozen=True)
class Part:
    """One part of a pressed model.

    Attributes:
        target: the name of the board it is for.
        graph: the portable graph, which runs in any ONNX Runtime.
        inputs, outputs: the tensors.
        prepare: how each input is made, by tensor name.
        meaning: what each output means, by tensor name.
        engines: engine name to its files.
        engine: the engine that was chosen for the target.
        why: why it was chosen, in one sentence.
        golden: examples with their expected outputs.
        tolerance: by how much each output may differ from its golden one, absolute.
        tables: what is no graph, such as integer probabilities: name to member; parts may share members.
    """

    target: str
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    prepare: dict[str, InputKind]
    meaning: dict[str, OutputKind]
    engines: dict[str, EngineFiles]
    engine: str
    why: str
    golden: tuple[Golden, ...] = ()
    tolerance: dict[str, float] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One check made while building.

    Attributes:
        step: what was checked, such as ``export`` or ``aot``.
        against: what it was compared with.
        worst: the greatest difference, or the figure judged, in ``unit``.
        limit: what was allowed.
        passed: whether it held.
        origin: ``measured`` or ``emulated``.
        detail: anything more, in words.
        part: the part that it is about; empty where there is only one, or it is about all of them.
    """

    step: str
    against: str
    worst: float
    limit: float
    unit: str
    passed: bool
    origin: Literal["measured", "emulated", "estimated"] = "measured"
    detail: str = ""
    part: str = ""


@dataclass(frozen=True)
class Manifest:
    """Everything a bundle says about itself.

    Attributes:
        name: the model's name.
        source: where the model came from, with its digest.
        method: the compression method, its configuration and what it reported.
        targets: the boards, as their descriptions stood when the bundle was built.
        parts: part name to part.
        checks: what was checked, with results.
        tools: versions of what made the bundle.
        members: every member except the manifest, with length and SHA-256.
    """

    name: str
    source: dict[str, Any]
    method: dict[str, Any]
    targets: dict[str, dict[str, Any]]
    parts: dict[str, Part]
    checks: tuple[Check, ...]
    tools: dict[str, str]
    members: dict[str, Member]
    format: str = FORMAT
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """The manifest as JSON, the same bytes for the same content."""
        return (json.dumps(encode(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read and check a manifest.

        Raises:
            BundleError: it is no manifest, or one of a version this edgepress does not read.
        """
        try:
            plain = json.loads(data)
        except (ValueError, RecursionError):
            raise BundleError(f"the manifest of {where} is damaged; build or copy the bundle again") from None
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            raise BundleError(
                f"{where} is an archive, but no edgepress bundle; give a file that edgepress build wrote"
            )
        if plain.get("version") != VERSION:
            raise BundleError(
                f"{where} has the bundle version {plain.get('version')!r}, and this edgepress reads version {VERSION}; "
                "install the edgepress that built it"
            )
        try:
            manifest = decode(cls, plain)
        except RecordError as error:
            raise BundleError(
                f"the manifest of {where} is not as it should be: {error}; build the bundle again"
            ) from None
        manifest._check_references(where)
        return manifest

    def _check_references(self, where: str) -> None:
        """Every member that a part names must be listed, and every tensor lie inside its weights."""
        for name, part in self.parts.items():
            graphs = [part.graph, *(files.graph for files in part.engines.values() if files.graph)]
            named = [graph.member for graph in graphs] + [graph.weights for graph in graphs if graph.weights]
            named += [member for files in part.engines.values() for member in files.files.values()]
            named += [kind.labels for kind in part.meaning.values() if kind.kind == "scores" and kind.labels]
            named += [
                member
                for golden in part.golden
                for member in (*golden.inputs.values(), *golden.outputs.values())
            ]
            named += part.tables.values()
            for member in named:
                if member not in self.members:
                    raise BundleError(
                        f"the part {name} of {where} names the member {member!r}, which is missing"
                    )
            for graph in graphs:
                for tensor in graph.tensors:
                    end = tensor.offset + tensor.length
                    if (
                        not graph.weights
                        or tensor.offset < 0
                        or tensor.length < 0
                        or end > self.members[graph.weights].bytes
                    ):
                        raise BundleError(f"the tensor {tensor.name!r} of {where} lies outside its weights")
            takes, gives = {tensor.name for tensor in part.inputs}, {tensor.name for tensor in part.outputs}
            if part.prepare.keys() != takes or not part.meaning.keys() <= gives:
                raise BundleError(f"the part {name} of {where} does not say how each of its inputs is made")
            if part.engine not in part.engines or part.target not in self.targets:
                raise BundleError(
                    f"the part {name} of {where} names an engine or a target that the bundle does not hold"
                )
