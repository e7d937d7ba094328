"""Layers in bundles that were really built: inspect, profile, and the engine that they speak for."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepress.bundle import open_bundle
from edgepress.bundle.layers import layers_of
from edgepress.tensor import TensorSpec
from tests.build.conftest import PICTURE, Edgepress
from tests.bundles import model


def _shown(ended: object) -> str:
    assert ended.returncode == 0, ended.stderr  # type: ignore[attr-defined]
    return str(ended.stdout)  # type: ignore[attr-defined]


def test_layers_of_this_machine(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    _shown(edgepress("build", str(cnn_onnx), *PICTURE, "--method", "none", "-o", "here.edge"))
    with open_bundle(tmp_path / "here.edge") as bundle:
        engines = bundle.manifest.parts["main"].engines
        layers = layers_of(bundle, engines["aot"])
        nodes = layers_of(bundle, engines["ort"])
    assert {layer.kernel for layer in layers} >= {"tile"} and not {layer.kernel for layer in nodes} - {""}
    assert sum(layer.macs for layer in layers) == engines["aot"].facts["macs"]
    page = _shown(edgepress("inspect", "here.edge"))
    assert "kernel" in page and "operations" in page and "instructions:" not in page
    # On this machine the layers are timed, and the times kept; the peak is not known yet.
    table = _shown(edgepress("inspect", "here.edge", "--layers"))
    assert "time: measured on" in table and "edgepress hwbench" in table
    assert all(layer.name in table for layer in layers)
    assert "time: measured on" in _shown(edgepress("inspect", "here.edge"))
    data = json.loads(_shown(edgepress("inspect", "here.edge", "--layers", "--json")))
    listed = data["parts"]["main"]["aot"]["layers"]
    assert [row["name"] for row in listed] == [layer.name for layer in layers]
    assert sum(row["share"] for row in listed) == pytest.approx(1)
    assert {row["origin"] for row in listed} == {"measured"}


def test_the_share_of_the_peak(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    _shown(edgepress("build", str(cnn_onnx), *PICTURE, "--method", "none", "-o", "here.edge"))
    _shown(edgepress("hwbench", "--threads", "1"))
    words = ("profile", "here.edge", "--engines", "aot,ort", "--threads", "1", "--layers")
    data = json.loads(_shown(edgepress(*words, "--json")))
    aot, ort = (engine["layers"] for engine in data["engines"])
    for row in aot:
        assert row["bound"] in ("compute", "memory") and row["share_of_peak"] > 0
        assert row["kernel"] and row["operations"] >= 0
    assert any("share_of_peak" in row for row in ort)
    table = _shown(edgepress(*words))
    assert "of peak" in table and "bound" in table
    assert "of peak" in _shown(edgepress("inspect", "here.edge", "--layers"))


def test_layers_of_another_board_are_counted(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    _shown(edgepress("build", str(cnn_onnx), *PICTURE, "--target", "rpi4", "-o", "pi.edge"))
    with open_bundle(tmp_path / "pi.edge") as bundle:
        files = bundle.manifest.parts["main"].engines["aot"]
        counts = [layer.instructions for layer in layers_of(bundle, files)]
    assert all(counts) and 0 < sum(filter(None, counts)) <= files.facts["instructions"]
    page = _shown(edgepress("inspect", "pi.edge"))
    assert "instructions: emulated, one inference" in page and " ms" not in page.partition("members")[0]
    table = _shown(edgepress("inspect", "pi.edge", "--layers"))
    assert "per MAC" in table and "not measured" in table
    refused = edgepress("tune", "pi.edge")
    assert refused.returncode == 5 and "only this machine can be measured" in refused.stderr


def _network(
    node: onnx.NodeProto, given: tuple[int, ...], made: tuple[int, ...], **stored: object
) -> onnx.ModelProto:
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()]
    return model([node], [TensorSpec("x", given)], [TensorSpec("y", made)], weights)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="platform: estimates without a device are for x86")
def test_plain_loops_leave_the_graph_to_onnx_runtime(edgepress: Edgepress, tmp_path: Path) -> None:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "grow", strides=[2, 2])
    weights = np.random.default_rng(0).standard_normal((64, 64, 2, 2)).astype(np.float32)
    onnx.save(_network(node, (1, 64, 14, 14), (1, 64, 28, 28), w=weights), tmp_path / "grow.onnx")
    shown = _shown(
        edgepress("build", "grow.onnx", "--method", "none", "--target", "x86-64-v3", "-o", "grow.edge")
    )
    assert "ort is kept by an estimate: aot takes about" in shown
    assert "ort is kept by an estimate: aot takes about" in _shown(edgepress("inspect", "grow.edge"))
    with open_bundle(tmp_path / "grow.edge") as bundle:
        assert bundle.manifest.parts["main"].engine == "ort"


def test_an_operator_without_a_kernel_leaves_the_graph_to_onnx_runtime(
    edgepress: Edgepress, tmp_path: Path
) -> None:
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], "sums")
    onnx.save(_network(node, (2, 9), (2, 9), axis=np.array(1)), tmp_path / "sums.onnx")
    _shown(edgepress("build", "sums.onnx", "--method", "none", "--target", "x86-64-v3", "-o", "sums.edge"))
    page = _shown(edgepress("inspect", "sums.edge"))
    assert "ort is the only engine for x86-64-v3 here; aot is left out: the operator CumSum" in page
