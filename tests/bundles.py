"""Real small bundles: ONNX graphs made node by node, run by ONNX Runtime for their golden outputs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from edgepress.bundle import EngineFiles, Golden, Graph, Manifest, Part, StoredTensor, write_bundle
from edgepress.inputs import ArrayInput, ImageInput, prepare
from edgepress.outputs import ArrayOutput, ScoresOutput
from edgepress.tensor import TensorSpec

SIDE = 16
CLASSES = 10
IMAGE = TensorSpec("image", (1, 3, SIDE, SIDE))
SCORES = TensorSpec("scores", (1, CLASSES))
PREPARE = ImageInput(mean=(127.0,), std=(128.0,))
LABELS = [f"thing {index}" for index in range(CLASSES)]


def tiny_graph(seed: int = 0) -> onnx.ModelProto:
    """Convolution, ReLU, mean over the picture, matrix product: scores of ten classes."""
    generator = np.random.default_rng(seed)
    kernel = generator.standard_normal((8, 3, 3, 3), np.float32) * np.float32(0.4)
    matrix = generator.standard_normal((8, CLASSES), np.float32)
    nodes = [
        helper.make_node(
            "Conv", ["image", "kernel"], ["features"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]
        ),
        helper.make_node("Relu", ["features"], ["active"], "relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "matrix"], ["scores"], "classify"),
    ]
    constants = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(matrix, "matrix")]
    return model(nodes, [IMAGE], [SCORES], constants)


def model(
    nodes: list[onnx.NodeProto],
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    constants: list[Any] | None = None,
) -> onnx.ModelProto:
    """A checked model of opset 17."""

    def value(spec: TensorSpec) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(
            spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape
        )

    graph = helper.make_graph(
        nodes, "tiny", [value(s) for s in inputs], [value(s) for s in outputs], constants or []
    )
    made = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(made, full_check=True)
    return made


def outside(made: onnx.ModelProto) -> tuple[onnx.ModelProto, bytes, tuple[StoredTensor, ...]]:
    """The model with its weights as external data in ``weights.bin``, aligned to 64 bytes."""
    moved, stored, data = onnx.ModelProto(), [], bytearray()
    moved.CopyFrom(made)
    for tensor in moved.graph.initializer:
        array = numpy_helper.to_array(tensor)
        data += bytes(-len(data) % 64)
        place = {"location": "weights.bin", "offset": str(len(data)), "length": str(array.nbytes)}
        stored.append(StoredTensor(tensor.name, str(array.dtype), array.shape, len(data), array.nbytes))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in place.items():
            tensor.external_data.add(key=key, value=text)
        data += array.tobytes()
    return moved, bytes(data), tuple(stored)


def run_model(
    made: onnx.ModelProto, inputs: Mapping[str, np.ndarray[Any, Any]]
) -> dict[str, np.ndarray[Any, Any]]:
    """What ONNX Runtime gives."""
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """An array as a ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def pixels(seed: int) -> np.ndarray[Any, Any]:
    """A picture of 20 x 24 pixels."""
    return np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)


def picture(path: Path, seed: int) -> Path:
    """A picture file."""
    Image.fromarray(pixels(seed)).save(path)
    return path


def write_tiny(
    path: Path, *, arch: str = "x86_64", kind: str = "linux", features: tuple[str, ...] = (), seed: int = 0,
    parts: tuple[str, ...] = ("main",), source: dict[str, Any] | None = None, library: bytes = b"",
) -> Path:  # fmt: skip
    """Write the ten-class picture bundle; ``library`` adds the engine ``aot`` with these bytes."""
    made = tiny_graph(seed)
    moved, weights, stored = outside(made)
    members: dict[str, bytes] = {}
    records = {}
    for part in parts:
        graph = Graph(f"{part}/graph.onnx", 9, 17, f"{part}/weights.bin", stored)
        members |= {graph.member: moved.SerializeToString(deterministic=True), graph.weights: weights}
        members[f"{part}/labels.txt"] = "\n".join(LABELS).encode()
        examples = []
        for index in range(2):
            image = prepare(PREPARE, pixels(index), IMAGE)
            names = (f"golden/{part}/{index}/image.npy", f"golden/{part}/{index}/scores.npy")
            members |= {names[0]: npy(image), names[1]: npy(run_model(made, {"image": image})["scores"])}
            examples.append(Golden({"image": names[0]}, {"scores": names[1]}))
        engines = {"ort": EngineFiles(graph=graph)}
        if library:
            members[f"{part}/aot/library.so"] = library
            engines["aot"] = EngineFiles(
                files={"library": f"{part}/aot/library.so"}, arena_bytes=4096, facts={"instructions": 123456}
            )
        records[part] = Part(
            "board", graph, (IMAGE,), (SCORES,), {"image": PREPARE},
            {"scores": ScoresOutput(labels=f"{part}/labels.txt")},
            engines, "aot" if library else "ort", "the only one", tuple(examples), {"scores": 1e-3},
        )  # fmt: skip
    board = {
        "name": "board",
        "title": "A board",
        "kind": kind,
        "cpu": {"arch": arch, "model": "generic", "cores": 1},
    }
    board["cpu"]["features"] = list(features)  # type: ignore[index]
    manifest = Manifest(
        "tiny", source or {"kind": "test"}, {"name": "none"}, {"board": board}, records, (), {"onnx": "1"}, {}
    )
    write_bundle(path, manifest, members)
    return path


def write_plain(
    path: Path, made: onnx.ModelProto, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...],
    prepares: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """A bundle of any model, arrays in and arrays out, weights inside the graph, no golden examples."""
    part = Part(
        "board", Graph("main/graph.onnx", 9, 17), inputs, outputs,
        dict(prepares) if prepares else {spec.name: ArrayInput() for spec in inputs},
        {spec.name: ArrayOutput() for spec in outputs},
        {"ort": EngineFiles(graph=Graph("main/graph.onnx", 9, 17))}, "ort", "",
    )  # fmt: skip
    board = {
        "name": "board",
        "title": "A board",
        "kind": "linux",
        "cpu": {"arch": "x86_64", "model": "generic", "cores": 1},
    }
    manifest = Manifest(
        "plain", {"kind": "test"}, {"name": "none"}, {"board": board}, {"main": part}, (), {}, {}
    )
    write_bundle(path, manifest, {"main/graph.onnx": made.SerializeToString(deterministic=True)})
    return path
