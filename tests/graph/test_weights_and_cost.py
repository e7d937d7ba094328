"""The pool of weights loads everywhere and is mapped, and costs are those counted by hand."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from edgepress.graph.cost import count, total_macs
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.weights import ALIGNMENT, externalise
from edgepress.methods import find_method
from edgepress.progress import silent
from tests.graph.graphs import build, results

RNG = np.random.default_rng(3)


def two_convs() -> onnx.ModelProto:
    weight = RNG.standard_normal((16, 3, 3, 3)).astype(np.float32)
    depthwise = RNG.standard_normal((16, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="full", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node(
            "Conv", ["r", "d"], ["y"], name="depth", group=16, pads=[1, 1, 1, 1], strides=[2, 2]
        ),
    ]
    return infer_shapes(build(nodes, {"w": weight, "d": depthwise}))


def test_equal_weights_are_stored_once_and_aligned() -> None:
    model = two_convs()
    other = two_convs()
    other.graph.initializer[0].CopyFrom(model.graph.initializer[0])
    other.graph.initializer[0].name = "w"
    _, pool, entries = externalise({"a": model, "b": other}, threshold=500)
    at = {(entry.graph, entry.name): entry.offset for entry in entries}
    assert at["a", "w"] == at["b", "w"] and at["a", "d"] != at["b", "d"]
    assert all(entry.offset % ALIGNMENT == 0 for entry in entries)
    assert len(pool) < 1728 + 2 * 640 + 64
    assert externalise({"a": model, "b": other}, threshold=500)[1] == pool


def test_a_small_initialiser_stays_inside() -> None:
    moved, pool, entries = externalise({"a": two_convs()}, threshold=1 << 20)
    assert not pool and not entries
    assert all(not item.external_data for item in moved["a"].graph.initializer)


def test_an_unpacked_folder_loads_in_any_onnx_runtime(tmp_path: Path) -> None:
    model = two_convs()
    moved, pool, _ = externalise({"graph": model}, threshold=1)
    (tmp_path / "graph.onnx").write_bytes(moved["graph"].SerializeToString())
    (tmp_path / "weights.bin").write_bytes(pool)
    onnx.checker.check_model(tmp_path / "graph.onnx", full_check=True)
    session = ort.InferenceSession(tmp_path / "graph.onnx")
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], results(model)[0], atol=1e-5)


def test_mapped_weights_are_given_to_the_session(tmp_path: Path) -> None:
    model = two_convs()
    moved, pool, entries = externalise({"graph": model}, threshold=1)
    (tmp_path / "packed").write_bytes(pool)
    with (tmp_path / "packed").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    options = ort.SessionOptions()
    values = [
        ort.OrtValue.ortvalue_from_numpy(
            np.frombuffer(mapped, e.dtype, e.length // np.dtype(e.dtype).itemsize, e.offset).reshape(e.shape)
        )
        for e in entries
    ]
    options.add_external_initializers([e.name for e in entries], values)
    session = ort.InferenceSession(moved["graph"].SerializeToString(), options)
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.testing.assert_allclose(session.run(None, {"x": x})[0], results(model)[0], atol=1e-5)


def test_costs_by_hand() -> None:
    full, relu, depth = count(two_convs())
    assert (full.op, full.macs, full.weight_bytes) == ("Conv", 16 * 64 * 27, 1728)
    assert full.activation_bytes == 4 * (3 * 64 + 16 * 64)
    assert (relu.op, relu.macs, relu.weight_bytes) == ("Relu", 16 * 64, 0)
    assert (depth.op, depth.macs) == ("DepthwiseConv", 16 * 16 * 9)
    assert total_macs(two_convs()) == full.macs + depth.macs


def test_a_quantised_graph_costs_a_quarter_of_the_bytes_and_the_same_work() -> None:
    model = two_convs()
    feeds = [
        {"x": np.random.default_rng(i).standard_normal((1, 3, 8, 8)).astype(np.float32)} for i in range(2)
    ]
    method = find_method("int8")
    pressed = method.press(model, feeds, method.config(), "uint8", silent).graph
    integer = {layer.name: layer for layer in count(pressed) if layer.integer}
    assert integer["full"].macs == 16 * 64 * 27 and integer["full"].activation_bytes == 3 * 64 + 16 * 64
    assert total_macs(pressed) == total_macs(model)
