"""Whole builds of small networks, by the command line, for this machine and for other boards."""

from __future__ import annotations

import json
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgepress as package
from edgepress.bundle import open_bundle
from tests.build.conftest import NETS, PICTURE, Edgepress


def test_a_picture_net_for_the_raspberry_pi(edgepress: Edgepress, tmp_path: Path, photograph: Path) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(10)))
    built = edgepress(
        "build", f"{NETS}:small_cnn", *PICTURE, "--labels", "labels.txt", "--target", "rpi4", "-o", "net.edge",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    with open_bundle(tmp_path / "net.edge") as bundle:
        part = bundle.manifest.parts["main"]
        assert set(part.engines) == {"aot", "ort"}
        assert part.engines["aot"].arena_bytes
        assert part.engines["aot"].facts["instructions"] > 0
        steps = {check.step for check in bundle.manifest.checks}
        assert {"export", "aot", "ort"} <= steps
        assert all(check.passed for check in bundle.manifest.checks)
    ran = edgepress("run", "net.edge", str(photograph), "--json")
    assert ran.returncode == 0, ran.stderr
    assert len(json.loads(ran.stdout)["results"][0]["labels"]) == 5
    assert "not the target" in ran.stderr


def test_the_same_inputs_give_the_same_bytes(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    for number in (1, 2):
        built = edgepress(
            "build", str(cnn_onnx), *PICTURE, "--target", "rpi4", "-o", f"{number}.edge",
            EDGEPRESS_CACHE=str(tmp_path / f"cache{number}"),
        )  # fmt: skip
        assert built.returncode == 0, built.stderr
    assert (tmp_path / "1.edge").read_bytes() == (tmp_path / "2.edge").read_bytes()


def test_nothing_runs_again_when_nothing_changed(edgepress: Edgepress, cnn_onnx: Path) -> None:
    arguments = ("build", str(cnn_onnx), *PICTURE, "--target", "rpi4", "--engines", "ort", "--json")
    first, second = edgepress(*arguments), edgepress(*arguments)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert json.loads(first.stdout)["ran"] and not json.loads(second.stdout)["ran"]
    planned = edgepress(*arguments, "--dry-run")
    assert all(step["cached"] for step in json.loads(planned.stdout)["steps"])


def test_native_code_runs_on_this_machine(edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path) -> None:
    built = edgepress("build", str(cnn_onnx), *PICTURE, "--method", "none", "-o", "here.edge")
    assert built.returncode == 0, built.stderr
    feed = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    with package.load(tmp_path / "here.edge", engine="portable") as portable:
        expected = portable.run(feed)["output"]
    with package.load(tmp_path / "here.edge", engine="aot", trust=True) as native:
        assert native.engine_name == "aot"
        np.testing.assert_allclose(native.run(feed)["output"], expected, atol=1e-4)


@pytest.mark.parametrize("method", ["none", "int8"])
def test_a_recording(edgepress: Edgepress, tmp_path: Path, method: str) -> None:
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = np.sin(np.arange(900) / 5) * 20000
        file.writeframes(tone.astype("<i2").tobytes())
    built = edgepress(
        "build", f"{NETS}:Waveform", "--input", "sound:1x1x800", "--audio", "8000", "--method", method,
        "--data", ".", "--target", "rpi4", "-o", "sound.edge",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    ran = edgepress("run", "sound.edge", "tone.wav", "--json")
    assert json.loads(ran.stdout)["results"][0]["outputs"]["output"]["shape"] == [1, 3]


def test_two_inputs_two_outputs_and_arrays(edgepress: Edgepress, tmp_path: Path) -> None:
    np.save(tmp_path / "left.npy", np.ones((1, 8), np.float32))
    np.save(tmp_path / "right.npy", np.full((1, 4), 2, np.float32))
    built = edgepress(
        "build", f"{NETS}:TwoInputs", "--input", "left:1x8", "--input", "right:1x4", "--method", "none",
        "--target", "rpi4", "-o", "two.edge",
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    ran = edgepress("run", "two.edge", "left=left.npy", "right=right.npy", "--json")
    outputs = json.loads(ran.stdout)["results"][0]["outputs"]
    assert outputs["output_1"]["mean"] == 16.0


def test_a_text(edgepress: Edgepress, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("edge")
    built = edgepress(
        "build", f"{NETS}:Bytes", "--input", "text:1x32:int64", "--text", "--method", "none", "-o", "t.edge"
    )
    assert built.returncode == 0, built.stderr
    assert edgepress("run", "t.edge", "words.txt").returncode == 0


def test_an_onnx_file_builds_as_well_as_the_module_it_came_from(edgepress: Edgepress, tmp_path: Path) -> None:
    assert (
        edgepress(
            "build", f"{NETS}:small_cnn", *PICTURE, "--method", "none", "--engines", "ort", "-o", "a.edge"
        ).returncode
        == 0
    )
    with zipfile.ZipFile(tmp_path / "a.edge") as archive:
        archive.extractall(tmp_path / "unzipped")
    again = edgepress(
        "build", "unzipped/main/graph.onnx", "--method", "none", "--engines", "ort", "-o", "b.edge"
    )
    assert again.returncode == 0, again.stderr
    feed = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    with package.load(tmp_path / "a.edge") as first, package.load(tmp_path / "b.edge") as second:
        np.testing.assert_allclose(first.run(feed)["output"], second.run(feed)["output"], atol=1e-6)


def test_a_recipe_builds(edgepress: Edgepress, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETS.read_text())
    recipe = (
        'model = "net.py:small_cnn"\ntarget = "rpi4"\nmethod = "none"\nengines = ["ort"]\noutput = "r.edge"\n'
    )
    recipe += "[inputs.image]\nshape = [1, 3, 32, 32]\n"
    recipe += '[inputs.image.prepare]\nkind = "image"\nmean = [127]\nstd = [128]\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    built = edgepress("build", "recipe.toml")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "r.edge").exists()


def test_init_writes_a_recipe_that_is_one(edgepress: Edgepress, tmp_path: Path) -> None:
    assert edgepress("init").returncode == 0
    planned = edgepress("build", "recipe.toml", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert edgepress("init").returncode == 2
