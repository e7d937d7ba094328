"""What a model's digest sees, and what the user's code may do while it is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgepress.errors import MissingExtraError, SourceError
from edgepress.source import Source, resolve
from edgepress.tensor import TensorSpec
from tests.build.conftest import Edgepress

INPUT = (TensorSpec("x", (1, 4)),)
NET = """
import torch
{top}
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        {init}
    def forward(self, x):
        return x * 2
def net():
    {body}
    return Net()
"""


def write(path: Path, top: str = "", init: str = "pass", body: str = "pass") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NET.format(top=top, init=init, body=body))
    return path


def read(path: Path) -> Source:
    return resolve(f"{path}:net", INPUT)


def external(folder: Path, location: str = "w.bin") -> Path:
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weight]))
    folder.mkdir()
    onnx.save(
        model, folder / "mödel [1].onnx", save_as_external_data=True, location=location, size_threshold=0
    )
    return folder / "mödel [1].onnx"


def test_external_weights_of_any_name_are_seen(tmp_path: Path) -> None:
    path = external(tmp_path / "a folder")
    before = resolve(str(path)).digest
    assert resolve(str(path)).digest == before
    (path.parent / "w.bin").write_bytes(np.full(16, 3, np.float32).tobytes())
    assert resolve(str(path)).digest != before


def test_external_weights_that_are_missing_or_elsewhere(tmp_path: Path) -> None:
    path = external(tmp_path / "model")
    (path.parent / "w.bin").rename(tmp_path / "w.bin")
    with pytest.raises(SourceError, match=r"'w' in 'w\.bin', which is not there"):
        resolve(str(path))
    path.write_bytes(path.read_bytes().replace(b"w.bin", b"../w."))
    with pytest.raises(SourceError, match="outside its own folder"):
        resolve(str(path))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.scale = 2", "self.scale = 3"),
        ("self.sizes = (1, 2)", "self.sizes = (1, 3)"),
        ("self.mode = 'a'", "self.mode = None"),
        ("self.table = torch.zeros(2)", "self.table = torch.ones(2)"),
        ("self.table = torch.zeros(2).numpy()", "self.table = torch.ones(2).numpy()"),
        ("self.hidden = [torch.nn.Linear(2, 2)]", "self.hidden = [torch.nn.Linear(2, 2), None]"),
        (
            "self.register_buffer('b', torch.zeros(2), persistent=False)",
            "self.register_buffer('b', torch.ones(2), persistent=False)",
        ),
    ],
)
def test_settings_and_buffers_are_seen(tmp_path: Path, before: str, after: str) -> None:
    """Set from outside the user's file, so that no source text differs."""
    values = {}
    for name, line in (("before", before), ("after", after)):
        home = write(tmp_path / "net.py", top="import builtins", init="builtins._edgepress_test(self)")
        code = compile(line, "test", "exec")
        sys.modules["builtins"].__dict__["_edgepress_test"] = lambda here, code=code: exec(
            code, {"self": here, "torch": sys.modules["torch"]}
        )
        values[name] = [read(home).digest, read(home).digest]
    del sys.modules["builtins"].__dict__["_edgepress_test"]
    assert values["before"][0] == values["before"][1] and values["after"][0] == values["after"][1]
    assert values["before"][0] != values["after"][0]


def test_the_code_that_the_module_imports_is_seen(tmp_path: Path) -> None:
    """In processes of their own: what is loaded stays loaded."""
    path = write(tmp_path / "a f" / "net.py", top="from parts import layer")
    (tmp_path / "a f" / "parts").mkdir()
    (tmp_path / "a f" / "parts" / "layer.py").write_text("from .deep import WIDTH\n")
    code = (
        "import sys; from edgepress.source import resolve; from edgepress.tensor import TensorSpec;"
        "print(resolve(sys.argv[1], (TensorSpec('x', (1, 4)),)).digest)"
    )
    found = []
    for width in (1, 1, 2):
        (tmp_path / "a f" / "parts" / "deep.py").write_text(f"WIDTH = {width}\n")
        asked = [sys.executable, "-c", code, f"{path}:net"]
        found.append(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("place", ["top", "body"])
def test_code_that_ends_the_program_is_one_sentence(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / "net.py", **{place: "raise SystemExit(3)"})
    with pytest.raises(SourceError, match=r"failed.*SystemExit: 3"):
        read(path)


def test_an_interruption_is_none_of_the_users_errors(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        read(write(tmp_path / "net.py", top="raise KeyboardInterrupt"))


@pytest.mark.parametrize("stem", ["torch", "json", "my nét"])
def test_a_file_may_be_called_like_a_module(tmp_path: Path, stem: str) -> None:
    path = write(
        tmp_path / "a [b]" / f"{stem}.py", top="import json\nimport edgepress_sibling\nfrom .near import HERE"
    )
    (path.parent / "edgepress_sibling.py").write_text("")
    (path.parent / "near.py").write_text("HERE = 1\n")
    was = {name: sys.modules.get(name) for name in ("torch", "json")}
    searched = list(sys.path)
    source = read(path)
    assert source.name == stem and json.loads("[1]") == [1]
    assert {name: sys.modules.get(name) for name in was} == was or was["torch"] is None
    assert sys.path == searched
    assert sys.modules["json"] is json and hasattr(sys.modules["torch"], "nn")


def test_what_the_code_prints_leaves_json_alone(edgepress: Edgepress, tmp_path: Path) -> None:
    path = write(tmp_path / "own" / "torch.py", top="print('top')", body="print('body')")
    path.write_text(path.read_text().replace("return x * 2", "print('forward'); return x * 2"))
    result = edgepress(
        "build", f"{path}:net", "--input", "x:1x4", "--method", "none", "--engines", "ort", "--target", "host",
        "--json", EDGEPRESS_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    json.loads(result.stdout)
    assert all(word in result.stderr for word in ("top", "body", "forward"))


@pytest.mark.parametrize("package", ["torch", "efficientnet_lite_pytorch"])
def test_a_missing_package_of_the_zoo_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    source = resolve("efficientnet-lite0")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs {package.replace('_', '-')}; .*edgepress\[build\]"):
        source.load()
