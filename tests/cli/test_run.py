"""``edgepress run``."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from edgepress.inputs import TextInput
from edgepress.tensor import TensorSpec
from tests.bundles import model, npy, picture, write_plain, write_tiny
from tests.cli.conftest import Command

PAIR = (TensorSpec("a", (2, 3)), TensorSpec("b", (2, 3)))
SUM = TensorSpec("c", (2, 3))


@pytest.fixture
def adder(tmp_path: Path) -> Path:
    """A bundle with two inputs and one plain output."""
    return write_plain(
        tmp_path / "add.edge",
        model([helper.make_node("Add", ["a", "b"], ["c"])], [*PAIR], [SUM]),
        PAIR,
        (SUM,),
    )


def save(path: Path, value: float) -> Path:
    """A 2 x 3 array of one value, as a file."""
    path.write_bytes(npy(np.full((2, 3), value, np.float32)))
    return path


def test_labels_in_a_table(edgepress: Command, tiny_bundle: Path, photograph: Path) -> None:
    ended = edgepress("run", tiny_bundle, photograph)
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert ended.err == ""
    assert lines[0] == str(photograph)
    assert len(lines) == 6
    assert len({line.index("thing") for line in lines[1:]}) == 1


def test_json(edgepress: Command, tiny_bundle: Path, photograph: Path) -> None:
    data = edgepress("run", tiny_bundle, photograph, "--json", "--top", 10).data
    (result,) = data["results"]
    shares = [label["probability"] for label in result["labels"]]
    assert data["engine"] == "ort"
    assert result["outputs"]["scores"]["shape"] == [1, 10]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


def test_standard_input(
    edgepress: Command, tiny_bundle: Path, photograph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(photograph.read_bytes())))
    by_pipe = edgepress("run", tiny_bundle, "-", "--json").data["results"][0]
    by_name = edgepress("run", tiny_bundle, photograph, "--json").data["results"][0]
    assert by_pipe["labels"] == by_name["labels"]


def test_one_bad_file_among_several(
    edgepress: Command, tiny_bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture at all")
    ended = edgepress("run", tiny_bundle, bad, photograph, tmp_path / "missing.png", "--json")
    assert ended.code == 4
    assert ["error" in result for result in ended.data["results"]] == [True, False, True]
    assert "no picture" in ended.err
    assert "does not exist" in ended.err


@pytest.mark.parametrize("cut", [0, 1, 20, 100])
def test_a_truncated_picture(
    edgepress: Command, tiny_bundle: Path, photograph: Path, tmp_path: Path, cut: int
) -> None:
    short = tmp_path / "short.png"
    short.write_bytes(photograph.read_bytes()[:cut])
    ended = edgepress("run", tiny_bundle, short)
    assert ended.code == 4
    assert len(ended.err.splitlines()) == 1


def test_several_inputs(edgepress: Command, adder: Path, tmp_path: Path) -> None:
    one, two = save(tmp_path / "one.npy", 1), save(tmp_path / "two.npy", 2)
    ended = edgepress("run", adder, f"a={one}", f"b={two}", f"a={two}", f"b={two}", "--json")
    assert [result["outputs"]["c"]["mean"] for result in ended.data["results"]] == [3, 4]


@pytest.mark.parametrize("words", [("one.npy",), ("a=one.npy", "two.npy"), ("c=one.npy",)])
def test_several_inputs_must_be_named(
    edgepress: Command, adder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    save(tmp_path / "one.npy", 1)
    monkeypatch.chdir(tmp_path)
    ended = edgepress("run", adder, *words)
    assert ended.code == 4
    assert "a, b" in ended.err


def test_an_input_left_out(edgepress: Command, adder: Path, tmp_path: Path) -> None:
    ended = edgepress("run", adder, f"a={save(tmp_path / 'one.npy', 1)}")
    assert ended.code == 4
    assert "'b' is missing" in ended.err


def test_save(edgepress: Command, adder: Path, tmp_path: Path) -> None:
    one = save(tmp_path / "one.npy", 1)
    edgepress(
        "run", adder, f"a={one}", f"b={one}", f"a={one}", f"b={one}", "--save", tmp_path / "out" / "deep"
    )
    files = sorted((tmp_path / "out" / "deep").iterdir())
    assert [file.name for file in files] == ["000-one-c.npy", "001-one-c.npy"]
    assert np.array_equal(np.load(files[0]), np.full((2, 3), 2, np.float32))


def test_save_where_nothing_can_be_written(
    edgepress: Command, tiny_bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = edgepress("run", tiny_bundle, photograph, "--save", tmp_path / "file")
    assert ended.code == 11


def test_what_is_not_finite_is_null_in_json(edgepress: Command, tmp_path: Path) -> None:
    spec, out = TensorSpec("a", (2,)), TensorSpec("c", (2,))
    path = write_plain(
        tmp_path / "log.edge", model([helper.make_node("Log", ["a"], ["c"])], [spec], [out]), (spec,), (out,)
    )
    array = tmp_path / "a.npy"
    array.write_bytes(npy(np.array([0, 1], np.float32)))
    ended = edgepress("run", path, array, "--json")
    assert ended.data["results"][0]["outputs"]["c"]["min"] is None


def test_not_the_target(edgepress: Command, tmp_path: Path, photograph: Path) -> None:
    path = write_tiny(tmp_path / "other.edge", arch="riscv64", library=b"machine code")
    ended = edgepress("run", path, photograph, "--json")
    assert ended.code == 0
    assert "not the target" in ended.err
    assert ended.data["engine"] == "portable"
    assert "riscv64" in ended.data["note"]


def test_the_engine_of_another_board(edgepress: Command, tmp_path: Path, photograph: Path) -> None:
    path = write_tiny(tmp_path / "other.edge", arch="riscv64", library=b"machine code")
    ended = edgepress("run", path, photograph, "--engine", "aot")
    assert ended.code == 5
    assert "riscv64" in ended.err


def test_parts(edgepress: Command, tmp_path: Path, photograph: Path) -> None:
    path = write_tiny(tmp_path / "two.edge", parts=("encoder", "decoder"))
    assert edgepress("run", path, photograph).code == 2
    wrong = edgepress("run", path, photograph, "--part", "decodr")
    assert wrong.code == 2
    assert "did you mean 'decoder'?" in wrong.err
    assert edgepress("run", path, photograph, "--part", "encoder").code == 0


def test_an_unknown_engine(edgepress: Command, tiny_bundle: Path, photograph: Path) -> None:
    ended = edgepress("run", tiny_bundle, photograph, "--engine", "portabel")
    assert ended.code == 2
    assert "did you mean 'portable'?" in ended.err


def test_a_missing_bundle(edgepress: Command, photograph: Path, tmp_path: Path) -> None:
    ended = edgepress("run", tmp_path / "none.edge", photograph)
    assert ended.code == 8
    assert "does not exist" in ended.err


def test_a_folder_is_no_bundle_and_no_picture(
    edgepress: Command, tiny_bundle: Path, photograph: Path, tmp_path: Path
) -> None:
    assert edgepress("run", tmp_path, photograph).code == 8
    assert edgepress("run", tiny_bundle, tmp_path).code == 4


def test_labels_cannot_act_on_the_terminal(edgepress: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    name = tmp_path / "a\x1b[2Jb.png"
    picture(name, 1)
    assert "\x1b" not in edgepress("run", tiny_bundle, name).out


def test_the_text_in_a_file_not_its_name(edgepress: Command, tmp_path: Path) -> None:
    tokens, out = TensorSpec("tokens", (1, 8), "int64"), TensorSpec("out", (1, 8), "int64")
    path = write_plain(
        tmp_path / "text.edge",
        model([helper.make_node("Identity", ["tokens"], ["out"])], [tokens], [out]),
        (tokens,),
        (out,),
        {"tokens": TextInput()},
    )
    (tmp_path / "a.txt").write_text("hello")
    assert edgepress("run", path, tmp_path / "a.txt", "--save", tmp_path / "out").code == 0
    (saved,) = (tmp_path / "out").iterdir()
    assert bytes(np.load(saved)[0].astype(np.uint8)) == b"hello\0\0\0"
    assert edgepress("run", path, tmp_path / "missing.txt").code == 4


@pytest.mark.parametrize("command", ["run", "profile", "evaluate"])
@pytest.mark.parametrize("threads", [0, 257])
def test_threads_have_a_limit(
    edgepress: Command, tiny_bundle: Path, photograph: Path, command: str, threads: int
) -> None:
    more: dict[str, list[object]] = {"run": [photograph], "evaluate": ["--data", photograph.parent]}
    words = more.get(command, [])
    ended = edgepress(command, tiny_bundle, *words, "--threads", threads)
    assert ended.code == 2 and "1<=x<=256" in ended.err


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "0", "1e9"])
def test_profile_takes_only_a_time(edgepress: Command, tiny_bundle: Path, seconds: str) -> None:
    assert edgepress("profile", tiny_bundle, "--seconds", seconds).code == 2
