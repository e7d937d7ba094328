"""From finished steps to a bundle: the manifest and the members that it lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepress.build import steps
from edgepress.build.engines import LAYERS, Compiled, tolerances
from edgepress.build.job import Done, Job
from edgepress.build.joined import Shared
from edgepress.build.press import PressedNetwork
from edgepress.build.versions import tool_versions
from edgepress.bundle import EngineFiles, Golden, Graph, Manifest, Part, StoredTensor
from edgepress.bundle.layers import ROLE, layers_from_bytes, layers_to_bytes
from edgepress.bundle.writer import Content
from edgepress.inputs import InputKind
from edgepress.outputs import OutputKind
from edgepress.records import encode
from edgepress.tensor import TensorSpec

_ROOM = {"header": "include", "source": "src"}


@dataclass(frozen=True)
class Finished:
    """One network as the bundle will hold it.

    Attributes:
        part: its record.
        members: what it adds to the archive.
        exported: the float graph it comes from.
        network: what ships.
        compiled: what the compilers made of it.
    """

    part: Part
    members: dict[str, Content]
    exported: Done
    network: PressedNetwork
    compiled: list[Compiled]


def pool(job: Job, network: PressedNetwork, compiled: list[Compiled]) -> Done:
    """Put the weights of all graphs into one file, each tensor once and ternary ones at two bits."""
    any_size = job.joined.any_size
    graphs = {"portable": network.step.folder / steps.GRAPH}
    graphs |= {made.engine: made.step.folder / steps.GRAPH for made in compiled if made.engine == "ort"}

    def work(folder: Path, progress: Any) -> None:
        from edgepress.graph.limits import opset_of
        from edgepress.graph.ternary_storage import pack_ternary
        from edgepress.graph.weights import externalise

        models = {
            name: pack_ternary(steps.shipped_graph(path, any_size and name == "portable"))
            for name, path in graphs.items()
        }
        slim, weights, index = externalise(models)
        (folder / "weights.bin").write_bytes(weights)
        facts: dict[str, Any] = {}
        for name, graph in slim.items():
            steps.write_graph(folder / f"{name}.onnx", graph)
            tensors = [encode(tensor) for tensor in index if tensor.graph == name]
            facts[name] = {"ir": graph.ir_version, "opset": opset_of(graph), "tensors": tensors}
        steps.write_facts(folder, facts)

    keys = {"portable": network.step.key, **{made.engine: made.step.key for made in compiled}}
    return job.step(
        "pool",
        "storing each weight once",
        {"graphs": keys, "any_size": any_size},
        work,
        lambda folder: f"{(folder / 'weights.bin').stat().st_size / 1e6:.1f} MB of weights",
    )


def finish(
    job: Job,
    exported: Done,
    network: PressedNetwork,
    compiled: list[Compiled],
    pooled: Done,
    golden: Done,
    kinds: dict[str, InputKind],
    meaning: dict[str, OutputKind],
    chosen: tuple[str, str],
) -> Finished:
    """The record and the members of the part that the job is about."""
    members: dict[str, Content] = {}
    facts = steps.read_facts(pooled.folder)
    weights = f"{job.part}/weights.bin"
    if (pooled.folder / "weights.bin").stat().st_size:
        members[weights] = pooled.folder / "weights.bin"
    members[f"{job.part}/graph.onnx"] = pooled.folder / "portable.onnx"
    portable = _graph(facts["portable"], f"{job.part}/graph.onnx", weights)
    engines = {}
    for made in compiled:
        if made.engine == "ort":
            # Beside the portable graph, because ONNX external data must lie in the graph's own folder.
            member = f"{job.part}/ort.onnx"
            members[member] = pooled.folder / "ort.onnx"
            layers = f"{job.part}/ort.{LAYERS}"
            members[layers] = made.step.folder / LAYERS
            engines["ort"] = EngineFiles(graph=_graph(facts["ort"], member, weights), files={ROLE: layers})
        else:
            engines["aot"] = _native(job, made, members)
    if job.source.labels:
        members[f"{job.part}/labels.txt"] = ("\n".join(job.source.labels) + "\n").encode()
    examples = steps.read_golden(golden.folder, network.inputs, network.outputs)
    ranges = steps.read_facts(golden.folder)["ranges"]
    part = Part(
        target=job.target.name,
        graph=portable,
        inputs=_with_ranges(network.inputs, ranges),
        outputs=_with_ranges(network.outputs, ranges),
        prepare=kinds,
        meaning=meaning,
        engines=engines,
        engine=chosen[0],
        why=chosen[1],
        golden=_golden(job, golden, network, members),
        tolerance=tolerances([outputs for _, outputs in examples], network),
    )
    return Finished(part, members, exported, network, compiled)


def assemble(
    job: Job, finished: Mapping[str, Finished], shared: Shared
) -> tuple[Manifest, dict[str, Content]]:
    """The manifest and the members of the bundle.

    Args:
        finished: its networks, by part.
        shared: what is no graph and belongs to all of them that are joined.
    """
    members: dict[str, Content] = {}
    for each in finished.values():
        members |= each.members
    places = {
        name: f"{job.joined.room}/{name}.{'json' if data[:1] == b'{' else 'bin'}"
        for name, data in shared.tables.items()
    }
    members |= {places[name]: data for name, data in shared.tables.items()}
    keys: Any = {part: each.exported.key for part, each in finished.items()}
    methods = {part: each.network.facts for part, each in finished.items()}
    first = next(iter(finished))
    sources = job.source.parts or {first: job.source}
    manifest = Manifest(
        name=job.recipe.name or job.source.name,
        source={
            **job.source.origin,
            "digest": job.source.digest,
            "float_graph_key": keys if job.source.parts else keys[first],
        },
        method=methods[first] if not job.source.parts else _joined(methods, shared.method),
        targets={target.name: encode(target) for target in job.targets.values()},
        parts={
            name: dataclasses.replace(each.part, tables=places if sources[name].joined is not None else {})
            for name, each in finished.items()
        },
        checks=tuple(job.checks),
        tools=tool_versions(),
        members={},
    )
    return manifest, members


def _joined(methods: Mapping[str, dict[str, Any]], whole: Mapping[str, Any]) -> dict[str, Any]:
    """What the parts' methods say, as one record: that of the whole, where it has one, and each part's; else what
    they have in common once, and the rest by part."""
    if whole:
        return {**methods, **whole}
    records = list(methods.values())
    same = {key: value for key, value in records[0].items() if all(one.get(key) == value for one in records)}
    own = {
        part: {key: value for key, value in one.items() if key not in same} for part, one in methods.items()
    }
    return same | {part: facts for part, facts in own.items() if facts}


def _with_ranges(tensors: tuple[TensorSpec, ...], ranges: dict[str, list[float]]) -> tuple[TensorSpec, ...]:
    return tuple(
        dataclasses.replace(tensor, range=(ranges[tensor.name][0], ranges[tensor.name][1]))
        for tensor in tensors
    )


def _graph(facts: dict[str, Any], member: str, weights: str) -> Graph:
    tensors = tuple(
        StoredTensor(item["name"], item["dtype"], tuple(item["shape"]), item["offset"], item["length"])
        for item in facts["tensors"]
    )
    return Graph(member, facts["ir"], facts["opset"], weights if tensors else "", tensors)


def _native(job: Job, made: Compiled, members: dict[str, Content]) -> EngineFiles:
    files = {}
    for role, name in made.facts["files"].items():
        room = _ROOM.get(role.partition(":")[0], "")
        member = "/".join(part for part in (job.part, "aot", room, name) if part)
        members[member] = made.step.folder / name
        files[role] = member
    members[f"{job.part}/aot/weights.bin"] = made.step.folder / "weights.bin"
    files["weights"] = f"{job.part}/aot/weights.bin"
    layers = layers_from_bytes((made.step.folder / LAYERS).read_bytes(), "this build")
    counts = made.facts.get("layers", [None] * len(layers))
    counted = [
        dataclasses.replace(layer, instructions=count) for layer, count in zip(layers, counts, strict=True)
    ]
    members[f"{job.part}/aot/{LAYERS}"] = layers_to_bytes(counted)
    files[ROLE] = f"{job.part}/aot/{LAYERS}"
    kept = (
        "weights_bytes",
        "kernels",
        "ops",
        "macs",
        "instructions",
        "stream_instructions",
        "bytes",
        "linker",
    )
    facts = {key: made.facts[key] for key in kept if key in made.facts}
    return EngineFiles(files=files, arena_bytes=made.facts["arena_bytes"], facts=facts)


def _golden(
    job: Job, golden: Done, network: PressedNetwork, members: dict[str, Content]
) -> tuple[Golden, ...]:
    examples = []
    room = "golden" if job.alone else f"{job.part}/golden"
    count = len(steps.read_golden(golden.folder, network.inputs, network.outputs))
    for index in range(count):
        named: dict[str, dict[str, str]] = {"in": {}, "out": {}}
        for kind, tensors in (("in", network.inputs), ("out", network.outputs)):
            for position, tensor in enumerate(tensors):
                path = steps.golden_file(golden.folder, index, kind, position)
                member = f"{room}/{index}/{path.name.split('.', 1)[1]}"
                members[member] = path
                named[kind][tensor.name] = member
        examples.append(Golden(named["in"], named["out"]))
    return tuple(examples)
