"""A bundle with real machine code for this machine: trust, running, profiling, damage."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgepress.bundle import EngineFiles, Golden, Graph, Manifest, Part, open_bundle, verified, write_bundle
from edgepress.inputs import ArrayInput
from edgepress.outputs import ArrayOutput
from edgepress.runtimes import load
from edgepress.tensor import TensorSpec
from tests.bundles import model, npy, run_model
from tests.cli.conftest import Command
from tests.native.tiny_model import build, example, weights

X = TensorSpec("x", (1, 16))
OUTPUTS = (TensorSpec("probabilities", (1, 10)), TensorSpec("hidden", (1, 64)))

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="platform: no code is written for this processor"
)


def portable() -> onnx.ModelProto:
    """The tiny model of tests/native as an ONNX graph."""
    block = np.frombuffer(weights(), np.float32)
    constants = {
        "w1": block[:1024].reshape(64, 16).T,
        "b1": block[1024:1088],
        "w2": block[1088:1728].reshape(10, 64).T,
        "b2": block[1728:1738],
        "half": np.full(1, 0.5, np.float32),
        "one": np.full(1, 1, np.float32),
        "root": np.full(1, 0.70710678, np.float32),
    }
    steps = [
        ("Gemm", ["x", "w1", "b1"], "dense"),
        ("Mul", ["dense", "root"], "scaled"),
        ("Erf", ["scaled"], "erf"),
        ("Add", ["erf", "one"], "more"),
        ("Mul", ["dense", "half"], "halved"),
        ("Mul", ["halved", "more"], "hidden"),
        ("Gemm", ["hidden", "w2", "b2"], "classes"),
        ("Softmax", ["classes"], "probabilities"),
    ]
    nodes = [helper.make_node(op, inputs, [output], output) for op, inputs, output in steps]
    arrays = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()]
    return model(nodes, [X], list(OUTPUTS), arrays)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle; nobody has said yet that its code may run."""
    folder = tmp_path_factory.mktemp("native")
    linked = build("host", folder)
    assert linked.shared is not None
    graph = Graph("main/graph.onnx", 9, 17)
    given = run_model(portable(), {"x": example()})
    members = {
        "main/graph.onnx": portable().SerializeToString(deterministic=True),
        "main/aot/lib.so": linked.shared.read_bytes(),
        "main/aot/weights.bin": weights(),
        "golden/x.npy": npy(example()),
        **{f"golden/{name}.npy": npy(array) for name, array in given.items()},
    }
    files = {"library": "main/aot/lib.so", "weights": "main/aot/weights.bin"}
    part = Part(
        "host", graph, (X,), OUTPUTS, {"x": ArrayInput()}, {spec.name: ArrayOutput() for spec in OUTPUTS},
        {"aot": EngineFiles(files=files, arena_bytes=320)}, "aot", "",
        (Golden({"x": "golden/x.npy"}, {name: f"golden/{name}.npy" for name in given}),),
        {name: 1e-5 for name in given},
    )  # fmt: skip
    board = {
        "name": "host",
        "title": "here",
        "kind": "host",
        "cpu": {"arch": platform.machine(), "features": []},
    }
    manifest = Manifest(
        "tiny", {"kind": "test"}, {"name": "none"}, {"host": board}, {"main": part}, (), {}, {}
    )
    write_bundle(folder / "native.edge", manifest, members)
    return folder / "native.edge"


@pytest.mark.parametrize("threads", [1, 3])
def test_machine_code_gives_what_the_portable_graph_gives(native: Path, threads: int) -> None:
    with load(native, trust=True, threads=threads) as code, load(native, engine="portable") as graph:
        assert code.engine_name == "aot" and code.note == ""
        for name, array in graph.run(example()).outputs.items():
            np.testing.assert_allclose(code.run(example())[name], array, rtol=1e-5, atol=1e-6)


def test_trust(edgepress: Command, native: Path, tmp_path: Path) -> None:
    array = tmp_path / "x.npy"
    array.write_bytes(npy(example()))
    refused = edgepress("run", native, array, "--engine", "aot")
    assert refused.code == 9 and "--trust" in refused.err
    without = edgepress("run", native, array, "--json")
    assert without.data["engine"] == "portable" and "--trust" in without.err
    assert edgepress("run", native, array, "--engine", "aot", "--trust", "--json").data["engine"] == "aot"
    with open_bundle(native) as bundle:
        verified.trust(bundle.identity)
    assert edgepress("run", native, array, "--json").data["engine"] == "aot"


def test_verify_runs_trusted_machine_code(
    edgepress: Command, native: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))  # which trusts nothing
    without = edgepress("verify", native, "--json").data
    assert "--trust" in without["not_run"]["main"]["aot"]
    assert {row["engine"] for row in without["golden"]} == {"portable"}
    data = edgepress("verify", native, "--trust", "--json").data
    assert data["not_run"] == {}
    assert [row["passed"] for row in data["golden"] if row["engine"] == "aot"] == [True, True]


def test_verify_sees_machine_code_that_computes_something_else(
    edgepress: Command, native: Path, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.edge"
    with open_bundle(native) as bundle:
        members = {name: bytes(bundle.member(name)) for name in bundle.manifest.members}
        block = np.frombuffer(weights(), np.float32) * np.float32(1.01)
        members["main/aot/weights.bin"] = block.tobytes()
        write_bundle(path, bundle.manifest, members)
    ended = edgepress("verify", path, "--trust")
    assert ended.code == 7 and "on the engine aot" in ended.err


def test_profile_of_machine_code(edgepress: Command, native: Path) -> None:
    words = ("profile", native, "--engines", "portable,aot", "--threads", 2, "--layers", "--trust")
    data = edgepress(*words, "--json").data
    by_name = {engine["engine"]: engine for engine in data["engines"]}
    assert [layer["name"] for layer in by_name["aot"]["layers"]] == ["dense", "gelu", "classes", "softmax"]
    assert by_name["aot"]["ratio"]["value"] > 0
    assert "in turns with portable" in by_name["aot"]["ratio"]["how"]
    assert {"name": "arena", "value": 320, "unit": "bytes"}.items() <= data["figures"][1].items()
    assert "aot takes" in edgepress(*words).out


def test_damaged_machine_code_is_never_loaded(edgepress: Command, native: Path, tmp_path: Path) -> None:
    with open_bundle(native) as bundle:
        offset, length = bundle._places["main/aot/lib.so"]
    content = bytearray(native.read_bytes())
    content[offset + length // 2] ^= 0x10
    path = tmp_path / "damaged.edge"
    path.write_bytes(content)
    ended = edgepress("profile", path, "--trust")
    assert ended.code == 8
    assert "lib.so" in ended.err
