"""From finished steps to a bundle: the manifest and the members that it lists."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgepress.build import steps
from edgepress.build.engines import LAYERS, Compiled, tolerances
from edgepress.build.job import PART, Done, Job
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


def pool(job: Job, network: PressedNetwork, compiled: list[Compiled]) -> Done:
    """Put the weights of all graphs into one file, each tensor once and ternary ones at two bits."""
    graphs = {"portable": network.step.folder / steps.GRAPH}
    graphs |= {made.engine: made.step.folder / steps.GRAPH for made in compiled if made.engine == "ort"}

    def work(folder: Path, progress: Any) -> None:
        from edgepress.graph.limits import opset_of
        from edgepress.graph.ternary_storage import pack_ternary
        from edgepress.graph.weights import externalise

        models = {name: pack_ternary(steps.read_graph(path)) for name, path in graphs.items()}
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
        {"graphs": keys},
        work,
        lambda folder: f"{(folder / 'weights.bin').stat().st_size / 1e6:.1f} MB of weights",
    )


def assemble(
    job: Job,
    exported: Done,
    network: PressedNetwork,
    compiled: list[Compiled],
    pooled: Done,
    golden: Done,
    kinds: dict[str, InputKind],
    meaning: dict[str, OutputKind],
    chosen: tuple[str, str],
    name: str,
) -> tuple[Manifest, dict[str, Content]]:
    """The manifest and the members of the bundle."""
    members: dict[str, Content] = {}
    facts = steps.read_facts(pooled.folder)
    weights = f"{PART}/weights.bin"
    if (pooled.folder / "weights.bin").stat().st_size:
        members[weights] = pooled.folder / "weights.bin"
    members[f"{PART}/graph.onnx"] = pooled.folder / "portable.onnx"
    portable = _graph(facts["portable"], f"{PART}/graph.onnx", weights)
    engines = {}
    for made in compiled:
        if made.engine == "ort":
            # Beside the portable graph, because ONNX external data must lie in the graph's own folder.
            member = f"{PART}/ort.onnx"
            members[member] = pooled.folder / "ort.onnx"
            layers = f"{PART}/ort.{LAYERS}"
            members[layers] = made.step.folder / LAYERS
            engines["ort"] = EngineFiles(graph=_graph(facts["ort"], member, weights), files={ROLE: layers})
        else:
            engines["aot"] = _native(made, members)
    if job.source.labels:
        members[f"{PART}/labels.txt"] = ("\n".join(job.source.labels) + "\n").encode()
    target = job.target.name
    examples = steps.read_golden(golden.folder, network.inputs, network.outputs)
    ranges = steps.read_facts(golden.folder)["ranges"]
    part = Part(
        target=target,
        graph=portable,
        inputs=_with_ranges(network.inputs, ranges),
        outputs=_with_ranges(network.outputs, ranges),
        prepare=kinds,
        meaning=meaning,
        engines=engines,
        engine=chosen[0],
        why=chosen[1],
        golden=_golden(golden, network, members),
        tolerance=tolerances([outputs for _, outputs in examples], network),
    )
    manifest = Manifest(
        name=name,
        source={**job.source.origin, "digest": job.source.digest, "float_graph_key": exported.key},
        method=network.facts,
        targets={target: encode(job.target)},
        parts={PART: part},
        checks=tuple(job.checks),
        tools=tool_versions(),
        members={},
    )
    return manifest, members


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


def _native(made: Compiled, members: dict[str, Content]) -> EngineFiles:
    files = {}
    for role, name in made.facts["files"].items():
        room = _ROOM.get(role.partition(":")[0], "")
        member = "/".join(part for part in (PART, "aot", room, name) if part)
        members[member] = made.step.folder / name
        files[role] = member
    members[f"{PART}/aot/weights.bin"] = made.step.folder / "weights.bin"
    files["weights"] = f"{PART}/aot/weights.bin"
    layers = layers_from_bytes((made.step.folder / LAYERS).read_bytes(), "this build")
    counts = made.facts.get("layers", [None] * len(layers))
    counted = [
        dataclasses.replace(layer, instructions=count) for layer, count in zip(layers, counts, strict=True)
    ]
    members[f"{PART}/aot/{LAYERS}"] = layers_to_bytes(counted)
    files[ROLE] = f"{PART}/aot/{LAYERS}"
    kept = ("weights_bytes", "kernels", "ops", "macs", "instructions", "bytes", "linker")
    facts = {key: made.facts[key] for key in kept if key in made.facts}
    return EngineFiles(files=files, arena_bytes=made.facts["arena_bytes"], facts=facts)


def _golden(golden: Done, network: PressedNetwork, members: dict[str, Content]) -> tuple[Golden, ...]:
    examples = []
    count = len(steps.read_golden(golden.folder, network.inputs, network.outputs))
    for index in range(count):
        named: dict[str, dict[str, str]] = {"in": {}, "out": {}}
        for kind, tensors in (("in", network.inputs), ("out", network.outputs)):
            for position, tensor in enumerate(tensors):
                path = steps.golden_file(golden.folder, index, kind, position)
                member = f"golden/{index}/{path.name.split('.', 1)[1]}"
                members[member] = path
                named[kind][tensor.name] = member
        examples.append(Golden(named["in"], named["out"]))
    return tuple(examples)
