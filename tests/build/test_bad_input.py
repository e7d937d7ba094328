"""Bad input to a build: one clear sentence, the documented exit code, no traceback, no file."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.build.conftest import NETS, PICTURE, Edgepress

CNN = f"{NETS}:small_cnn"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing-here"], 3, "there is no model"),
        (["efficientnet-lite1"], 3, "did you mean 'efficientnet-lite0'"),
        (["missing.onnx"], 3, "does not exist"),
        ([f"{NETS}:small_cmm", *PICTURE], 3, "did you mean 'small_cnn'"),
        ([f"{NETS}:not_a_net", *PICTURE], 3, "name a torch module"),
        ([f"{NETS}:broken", *PICTURE], 3, "no weights here"),
        (["nowhere.py:net", *PICTURE], 3, "does not exist"),
        ([CNN], 3, "add --input"),
        (["CNN", "--input", "image:1x3xcat"], 2, "numbers joined by x"),
        (["CNN", "--input", "image:1x3x32x32:floaty"], 2, "float32"),
        (["CNN", *PICTURE, "--target", "rpi44"], 5, "rpi4"),
        (["CNN", *PICTURE, "--method", "int9"], 2, "int8"),
        (["CNN", *PICTURE, "--engines", "oort"], 2, "ort"),
        (["CNN", *PICTURE, "--on", "ssh://pi"], 2, "local"),
        (["CNN", *PICTURE, "--labels", "none.txt"], 2, "cannot be read"),
        (["CNN", *PICTURE, "--data", "no-folder", "--method", "int8"], 4, "is no folder"),
        (["CNN", *PICTURE, "--audio", "8000"], 2, "at once"),
        ([f"{NETS}:Unspeakable", "--input", "x:4x4"], 3, "cannot be taken to the target"),
        (["recipe.toml"], 2, "edgepress init"),
    ],
)
def test_one_sentence(
    edgepress: Edgepress, tmp_path: Path, cnn_onnx: Path, arguments: list[str], code: int, words: str
) -> None:
    arguments = [str(cnn_onnx) if word == "CNN" else word for word in arguments]
    result = edgepress("build", *arguments, "-o", "out.edge")
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("edgepress: error:") == 1
    assert not list(tmp_path.glob("*.edge")) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('modle = "x"', "did you mean 'model'"),
        ("samples = 'many'", "whole number"),
        ("[gate]\nagrement = 0.9", "did you mean 'agreement'"),
        ("this is no toml", "is no TOML"),
        ('[inputs.image.prepare]\nkind = "picture"', "'image'"),
    ],
)
def test_a_misspelt_recipe(edgepress: Edgepress, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    result = edgepress("build", "r.toml")
    assert result.returncode == 2 and words in result.stderr


def _onnx(path: Path, op: str) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], name="odd")], "g", [x], [y])
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()
    )


def test_an_unknown_operator_is_named(edgepress: Edgepress, tmp_path: Path) -> None:
    _onnx(tmp_path / "odd.onnx", "NoSuchOperator")
    result = edgepress("build", "odd.onnx", "--target", "rpi4")
    assert result.returncode == 3 and "NoSuchOperator" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_onnx_file(edgepress: Edgepress, tmp_path: Path, share: float) -> None:
    _onnx(tmp_path / "cut.onnx", "Relu")
    data = (tmp_path / "cut.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: int(len(data) * share)])
    result = edgepress("build", "cut.onnx")
    assert result.returncode == 3 and "Traceback" not in result.stderr, result.stderr
    onnx.checker.check_model(onnx.load_from_string(data))


def test_no_room_for_the_bundle(tmp_path: Path, cnn_onnx: Path) -> None:
    """A limit on file sizes stands in for a full disk: the write fails the same way, and needs no root."""
    code = "import sys; from edgepress.cli.main import main; main(sys.argv[1:])"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    result = subprocess.run(
        [
            sys.executable, "-c", code, "build", str(cnn_onnx), *PICTURE, "--method", "none", "--engines", "ort",
            "-o", "full.edge",
        ],
        cwd=tmp_path, capture_output=True, text=True, preexec_fn=limit, check=False,
        env={**os.environ, "PYTHONPATH": str(NETS.parents[2])},
    )  # fmt: skip
    assert result.returncode == 11, result.stderr
    assert "cannot be written" in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())
