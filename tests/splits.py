"""A small split network that really works, as a bundle made node by node: no torch, and no build.

The device's half is one convolution over blocks of 8 × 8 pixels, mostly their mean; a head is a mean over the map and a
matrix product. ``local`` is ``tests.bundles``' picture network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgepress.bundle import EngineFiles, Graph, Manifest, Part, write_bundle
from edgepress.coding.description import model_name
from edgepress.coding.frozen import write_codings
from edgepress.coding.split import DEVICE, LOCAL, SERVER, SPLIT, STEPS, Split, SplitRate, steps_to_bytes
from edgepress.coding.table import fit_table
from edgepress.inputs import ArrayInput, ImageInput, InputKind
from edgepress.outputs import ArrayOutput, OutputKind, ScoresOutput
from edgepress.tensor import TensorSpec
from tests.bundles import CLASSES, IMAGE, LABELS, SCORES, model, tiny_graph

LATENTS, BLOCK = 4, 4
MAP = IMAGE.shape[2] // BLOCK
SECOND = "second"
PREPARE = ImageInput(mean=(127.0,), std=(128.0,))
SENT = TensorSpec("latents", (1, LATENTS, MAP, MAP))
TAKEN = TensorSpec("latents", (1, LATENTS + 1, MAP, MAP))
STEP = np.array([[1.0], [0.25]], np.float32) * np.linspace(1, 2, LATENTS, dtype=np.float32)
RATES = (SplitRate(0.1, 0.0, 30.0, 0.8), SplitRate(0.4, -1.0, 60.0, 0.9))


def described(seed: int = 0, heads: tuple[str, ...] = (SERVER,)) -> Split:
    """The record; another seed is another network of the same form."""
    identity = f"{seed:02x}".ljust(32, "5")
    return Split(
        identity, "tiny", "conv", IMAGE.shape[1:], LATENTS, MAP, MAP, 1023, RATES, heads,
        device_macs=3072.0, server_macs=40.0, teacher_macs=20_000.0, replaced_macs=15_000.0,
    )  # fmt: skip


def device_graph(seed: int = 0) -> onnx.ModelProto:
    """Picture → latents of some units."""
    weight = np.random.default_rng(seed).standard_normal((LATENTS, 3, BLOCK, BLOCK)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "weight"], ["latents"], "encode", strides=[BLOCK, BLOCK])
    return model([node], [IMAGE], [SENT], [numpy_helper.from_array(weight, "weight")])


def head_graph(seed: int = 0) -> onnx.ModelProto:
    """Latents and the plane → scores of ten classes."""
    matrix = np.random.default_rng(seed + 100).standard_normal((LATENTS + 1, CLASSES)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["latents"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"], "classify"),
    ]
    return model(nodes, [TAKEN], [SCORES], [numpy_helper.from_array(matrix, "matrix")])


def write_split(
    path: Path,
    parts: tuple[str, ...] = (DEVICE, SERVER, LOCAL),
    seed: int = 0,
    split: Split | None = None,
    name: str = "halves",
) -> Path:
    """A bundle of it, for ONNX Runtime.

    Args:
        parts: which it holds; any but ``device`` and ``local`` is a head.
        seed: another one is another network, whose streams are not for this one.
        split: in place of what :func:`described` says.
    """
    heads = tuple(part for part in parts if part not in (DEVICE, LOCAL)) or (SERVER,)
    split = split or described(seed, heads)
    noise = np.random.default_rng(seed + 7)
    tables = {SPLIT: split.to_bytes(), STEPS: steps_to_bytes(STEP, described(seed, heads))}
    for rate, step in enumerate((1.0, 0.25)):
        table = fit_table(np.rint(noise.laplace(0, 3 / step, 4096)).astype(np.int64))
        tables[model_name(rate)] = write_codings([(table,) * LATENTS])
    places = {table: f"split/{table}" for table in tables}
    members = {places[table]: data for table, data in tables.items()}
    records = {}
    for part in parts:
        made = (
            device_graph(seed)
            if part == DEVICE
            else tiny_graph(seed)
            if part == LOCAL
            else head_graph(seed + heads.index(part))
        )
        given, gives = (
            (IMAGE, SENT if part == DEVICE else SCORES) if part in (DEVICE, LOCAL) else (TAKEN, SCORES)
        )
        graph, labels = Graph(f"{part}/graph.onnx", 9, 17), f"{part}/labels.txt"
        members[graph.member] = made.SerializeToString(deterministic=True)
        meaning: OutputKind = ArrayOutput()
        if part != DEVICE:
            members[labels], meaning = "\n".join(LABELS).encode(), ScoresOutput(labels=labels)
        prepare: InputKind = PREPARE if given is IMAGE else ArrayInput()
        records[part] = Part(
            "board", graph, (given,), (gives,), {given.name: prepare}, {gives.name: meaning},
            {"ort": EngineFiles(graph=graph)}, "ort", "the only one", tables={} if part == LOCAL else places,
        )  # fmt: skip
    cpu = {"arch": "x86_64", "model": "generic", "cores": 1}
    board = {"name": "board", "title": "A board", "kind": "host", "cpu": cpu}
    manifest = Manifest(name, {"kind": "test"}, {"name": "none"}, {"board": board}, records, (), {}, {})
    write_bundle(path, manifest, members)
    return path
